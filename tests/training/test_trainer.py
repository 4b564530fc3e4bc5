import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from prismrec.errors import InputError
from prismrec.models import REGISTRY, Recommender
from prismrec.models.lgmrec import LGMRec
from prismrec.models.mf_bpr import MFBPR
from prismrec.ops.device import pick_device
from prismrec.records import Settings
from prismrec.testing import toy_features, toy_interactions
from prismrec.training import CheckpointFolder, NonFiniteLossError, Trained, fit
from prismrec.training.checkpoint import copy_weights
from prismrec.types import Embeddings


def lgmrec(seed: int = 0, **settings: object) -> LGMRec:
    torch.manual_seed(seed)
    return LGMRec(toy_interactions(), toy_features(2), LGMRec.Config(embedding_size=6, batch_size=16, **settings))


def train(model: Recommender, epochs: int = 4, **kwargs: object) -> Trained:
    settings = Settings(epochs=epochs, device="cpu", **kwargs.pop("settings", {}))
    return fit(model, toy_interactions(), settings, **kwargs)


def losses(trained: Trained) -> list[dict[str, float]]:
    return [record.loss for record in trained.progress.history]


def scripted(scores: list[float]) -> Iterator[dict[str, float]]:
    return iter({"recall@20": score} for score in scores)


def test_one_seed_gives_bit_identical_runs_and_another_seed_another() -> None:
    first, again = train(lgmrec()), train(lgmrec())
    assert losses(first) == losses(again)
    assert torch.equal(first.embeddings.users, again.embeddings.users)
    other = train(lgmrec(), settings={"seed": 1})
    assert losses(first) != losses(other)


def test_the_best_validated_epoch_is_the_result_and_patience_counts_validations() -> None:
    scores, snapshots = scripted([0.1, 0.5, 0.2, 0.3, 0.4, 0.9]), []

    def validate(embeddings: Embeddings) -> dict[str, float]:
        snapshots.append(embeddings.detached())
        return next(scores)

    trained = train(lgmrec(), epochs=100, validate=validate, settings={"patience": 3, "validate_every": 2})
    assert trained.progress.best_epoch == 4
    assert len(trained.progress.history) == 10  # validated at 2, 4 (best), 6, 8, 10
    assert [record.valid is None for record in trained.progress.history[:4]] == [True, False, True, False]
    assert torch.equal(trained.embeddings.users, snapshots[1].users)


def test_denormal_numbers_are_flushed_while_training_and_not_after() -> None:
    tiny, seen = torch.full((4,), 1e-30), []

    def validate(embeddings: Embeddings) -> dict[str, float]:
        seen.append(int((tiny * 1e-10).count_nonzero()))
        return {"recall@20": 0.0}

    train(lgmrec(), epochs=2, validate=validate)
    assert seen == [0, 0]
    assert int((tiny * 1e-10).count_nonzero()) == 4


def test_without_validation_the_last_epoch_is_the_result() -> None:
    model = lgmrec()
    trained = train(model, epochs=3)
    assert len(trained.progress.history) == 3
    assert all(torch.equal(copy_weights(model)[name], weight) for name, weight in trained.weights.items())


def test_a_model_without_weights_is_not_trained() -> None:
    popular = REGISTRY["most-popular"]
    trained = train(popular(toy_interactions(), {}, popular.Config()))
    assert trained.progress.history == ()
    assert trained.embeddings.items.squeeze().tolist() == toy_interactions().item_degrees.tolist()


def test_the_learning_rate_decays_as_configured() -> None:
    rates = []

    class Spy(MFBPR):
        def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
            before = [weight.detach().clone() for weight in self.parameters()]
            rates.append(before)

    config = Spy.Config(embedding_size=6, batch_size=10_000, learning_rate=0.1, lr_decay=0.25, lr_decay_epochs=2)
    model = Spy(toy_interactions(), {}, config)
    train(model, epochs=4)
    steps = [
        max((b - a).abs().max().item() for a, b in zip(first, second, strict=True)) for first, second in pairwise(rates)
    ]
    # Adam's first step is the learning rate itself; with one batch per epoch later ones are at most a little larger.
    assert steps[0] == pytest.approx(0.1, rel=1e-3)
    assert steps[2] <= 0.25 * 0.1 * 1.5


@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_run_taken_up_from_a_checkpoint_repeats_the_uninterrupted_one(tmp_path: Path, killed_after: int) -> None:
    class KilledError(Exception):
        pass

    def validation() -> object:
        scores = scripted([0.3, 0.1, 0.2, 0.25, 0.1, 0.1])
        return lambda _: next(scores)

    whole = train(lgmrec(), epochs=6, validate=validation(), settings={"patience": 5})
    folder = CheckpointFolder(tmp_path / "checkpoint")

    def die(record: object) -> None:
        if record.epoch == killed_after + 1:
            raise KilledError

    scores = validation()
    with pytest.raises(KilledError):
        train(lgmrec(), epochs=6, validate=scores, checkpoints=folder, report=die, settings={"patience": 5})
    resumed_scores = scripted([0.3, 0.1, 0.2, 0.25, 0.1, 0.1])
    done = len(folder.load().progress.history)
    for _ in range(done):
        next(resumed_scores)
    resumed = train(
        lgmrec(seed=99), epochs=6, validate=lambda _: next(resumed_scores), checkpoints=folder, settings={"patience": 5}
    )
    assert done >= 1
    assert losses(resumed) == losses(whole)
    assert resumed.progress.best_epoch == whole.progress.best_epoch == 1
    assert torch.equal(resumed.embeddings.users, whole.embeddings.users)
    assert torch.equal(resumed.embeddings.items, whole.embeddings.items)


def test_a_non_finite_loss_names_term_and_epoch() -> None:
    model = lgmrec()
    with torch.no_grad():
        model.projections[0][0, 0] = float("nan")
    with pytest.raises(NonFiniteLossError, match=r"loss term 'bpr', epoch 1: found nan.*learning_rate"):
        train(model)


def test_asking_for_a_gpu_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        assert pick_device("cuda").type == "cuda"
    else:
        with pytest.raises(InputError, match="no GPU"):
            pick_device("cuda")


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"half a file")
    with pytest.raises(InputError, match=r"state\.safetensors"):
        CheckpointFolder(tmp_path).load()


def test_training_does_not_import_the_compiler() -> None:
    """torch.optim's classes do, which takes two seconds and 70 MB."""
    code = """
import sys, torch
from prismrec.experiments.synthetic import random_dataset
from prismrec.models import MFBPR
from prismrec.training import Settings, fit
data = random_dataset(30, 20, 100, {})
fit(MFBPR(data.train, {}, MFBPR.Config()), data.train, Settings(epochs=1))
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
