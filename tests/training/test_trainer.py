import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from prismrec.models import REGISTRY, Recommender
from prismrec.models.lgmrec import LGMRec
from prismrec.models.mf_bpr import MFBPR
from prismrec.models.prism import Prism
from prismrec.records import Settings
from prismrec.testing import toy_features, toy_interactions
from prismrec.training import (
    Callback,
    CheckpointFolder,
    DivergenceError,
    EpochEnd,
    Trained,
    TrainingStart,
    fit,
)
from prismrec.training.checkpoint import copy_weights
from prismrec.types import Embeddings

import plain


def lgmrec(seed: int = 0, **settings: object) -> LGMRec:
    torch.manual_seed(seed)
    return LGMRec(toy_interactions(), toy_features(2), LGMRec.Config(embedding_size=6, batch_size=16, **settings))


def train(model: Recommender, epochs: int = 4, **kwargs: object) -> Trained:
    settings = Settings(epochs=epochs, device="cpu", **kwargs.pop("settings", {}))
    return fit(model, toy_interactions(), settings, **kwargs)


def losses(trained: Trained) -> list[dict[str, float]]:
    return [record.loss for record in trained.progress.history]


def in_order(scores: list[float]) -> Iterator[dict[str, float]]:
    return iter({"recall@20": score} for score in scores)


def test_equal_seeds_give_equal_bits_and_other_seeds_other_losses() -> None:
    first, again = train(lgmrec()), train(lgmrec())
    assert losses(first) == losses(again)
    assert torch.equal(first.embeddings.users, again.embeddings.users)
    other = train(lgmrec(), settings={"seed": 1})
    assert losses(first) != losses(other)


def test_a_model_chooses_by_the_validation_metric_before_the_first_epoch_and_a_resumed_run_keeps_its_choice(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    asked = []

    def validate(embeddings: Embeddings) -> dict[str, float]:
        asked.append(embeddings.users.shape[1])
        return {"recall@20": float(embeddings.items.norm()), "ndcg@20": 0.0}

    def prism() -> Prism:
        return Prism(toy_interactions(), toy_features(2), Prism.Config(embedding_size=6, batch_size=16))

    checkpoints = CheckpointFolder(tmp_path / "checkpoint")
    first = prism()
    train(first, epochs=2, validate=validate, checkpoints=checkpoints)
    closed = first.spectral.embed().users.shape[1]
    before = asked.index(6 + closed)  # then both parts are side by side
    after = len(asked) - before - 2
    assert before > 1
    assert after > 1
    resumed = prism()
    again = train(resumed, epochs=4, validate=validate, checkpoints=checkpoints)
    assert len(asked) == before + 2 + after + 2 + after  # both epochs had been saved
    assert resumed.chosen == first.chosen
    whole = train(prism(), epochs=4, validate=validate)
    assert torch.equal(again.embeddings.users, whole.embeddings.users)


def test_the_result_is_the_best_validated_epoch_and_patience_counts_validations() -> None:
    scores, snapshots = in_order([0.1, 0.5, 0.2, 0.3, 0.4, 0.9]), []

    def validate(embeddings: Embeddings) -> dict[str, float]:
        snapshots.append(embeddings.detached())
        return next(scores)

    trained = train(lgmrec(), epochs=100, validate=validate, settings={"patience": 3, "validate_every": 2})
    assert trained.progress.best_epoch == 4
    assert len(trained.progress.history) == 10  # validated at 2, 4 (best), 6, 8, 10
    assert [record.valid is None for record in trained.progress.history[:4]] == [True, False, True, False]
    assert torch.equal(trained.embeddings.users, snapshots[1].users)


def test_denormal_numbers_are_zero_during_training_only() -> None:
    tiny, seen = torch.full((4,), 1e-30), []

    def validate(embeddings: Embeddings) -> dict[str, float]:
        seen.append(int((tiny * 1e-10).count_nonzero()))
        return {"recall@20": 0.0}

    train(lgmrec(), epochs=2, validate=validate)
    assert seen == [0, 0]
    assert int((tiny * 1e-10).count_nonzero()) == 4


def test_without_validation_the_result_is_the_last_epoch() -> None:
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
    tables = []

    class Recording(MFBPR):
        def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
            tables.append(self.user_table.detach().clone())

    config = Recording.Config(embedding_size=6, batch_size=10_000, learning_rate=0.1, lr_decay=0.25, lr_decay_epochs=2)
    train(Recording(toy_interactions(), {}, config), epochs=4)
    steps = [(after - before).abs().max().item() for before, after in pairwise(tables)]
    # The first step of Adam is the learning rate. With one batch per epoch, later steps are at most a little larger.
    assert steps[0] == pytest.approx(0.1, rel=1e-3)
    assert steps[2] <= 0.25 * 0.1 * 1.5


@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_run_resumed_from_a_checkpoint_repeats_the_uninterrupted_run(tmp_path: Path, killed_after: int) -> None:
    class KilledError(Exception):
        pass

    validation_scores = [0.3, 0.1, 0.2, 0.25, 0.1, 0.1]

    def fit_six_epochs(model: LGMRec, scores: Iterator[dict[str, float]], **kwargs: object) -> Trained:
        return train(model, epochs=6, validate=lambda _: next(scores), settings={"patience": 5}, **kwargs)

    class Killing(Callback):
        def on_epoch(self, epoch: EpochEnd) -> None:
            if epoch.record.epoch == killed_after + 1:
                raise KilledError

    class Recording(Callback):
        def on_start(self, start: TrainingStart) -> None:
            self.epochs = [record.epoch for record in start.history]
            self.epochs_before = len(self.epochs)

        def on_epoch(self, epoch: EpochEnd) -> None:
            self.epochs.append(epoch.record.epoch)

    uninterrupted = fit_six_epochs(lgmrec(), in_order(validation_scores))
    folder = CheckpointFolder(tmp_path / "checkpoint")
    with pytest.raises(KilledError):
        fit_six_epochs(lgmrec(), in_order(validation_scores), checkpoints=folder, callbacks=[Killing()])
    done = len(folder.load().progress.history)
    recording = Recording()
    resumed = fit_six_epochs(
        lgmrec(seed=99),
        in_order(validation_scores[done:]),
        checkpoints=folder,
        callbacks=[recording],
    )
    assert done >= 1
    assert recording.epochs == [1, 2, 3, 4, 5, 6]
    assert recording.epochs_before == done
    assert losses(resumed) == losses(uninterrupted)
    assert resumed.progress.best_epoch == uninterrupted.progress.best_epoch == 1
    assert torch.equal(resumed.embeddings.users, uninterrupted.embeddings.users)
    assert torch.equal(resumed.embeddings.items, uninterrupted.embeddings.items)


def test_the_automatic_patience_is_the_same_after_an_interruption(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    class Killing(Callback):
        def on_epoch(self, epoch: EpochEnd) -> None:
            if epoch.record.epoch == 80:
                raise KilledError

    def fit_scores(scores: list[float], **kwargs: object) -> Trained:
        model = MFBPR(toy_interactions(), {}, MFBPR.Config(embedding_size=6, batch_size=10_000))
        found = in_order(scores)
        return train(model, epochs=500, validate=lambda _: next(found), **kwargs)

    assert len(fit_scores([0.1, 0.2] + [0.1] * 498).progress.history) == 52
    scores, folder = [0.1] * 40 + [0.2] + [0.1] * 459, CheckpointFolder(tmp_path / "checkpoint")
    with pytest.raises(KilledError):
        fit_scores(scores, checkpoints=folder, callbacks=[Killing()])
    resumed = fit_scores(scores[len(folder.load().progress.history) :], checkpoints=folder)
    assert (resumed.progress.best_epoch, len(resumed.progress.history)) == (41, 91)


def test_a_loss_that_is_not_finite_is_reported_with_its_term_and_epoch() -> None:
    model = lgmrec()
    with torch.no_grad():
        model.projections[0][0, 0] = float("nan")
    with pytest.raises(DivergenceError, match=r"loss term 'bpr', epoch 1: found nan.*learning_rate"):
        train(model)


@pytest.mark.parametrize("learning_rate", [1e38, 1e30])
def test_weights_spoiled_by_the_last_step_of_an_epoch_are_reported(learning_rate: float) -> None:
    config = MFBPR.Config(embedding_size=6, batch_size=10_000, learning_rate=learning_rate)
    with pytest.raises(DivergenceError, match=r"weights, epoch 1: found .*learning_rate"):
        train(MFBPR(toy_interactions(), {}, config), epochs=1)


@pytest.mark.parametrize("threads", [1, 2])
def test_fit_leaves_the_settings_of_the_process_as_they_were(threads: int) -> None:
    """The global random generator, the number of threads and the default type."""
    with plain.threads(threads):
        model = lgmrec()
        torch.manual_seed(123)
        before = torch.get_rng_state()
        train(model, epochs=2, validate=lambda _: {"recall@20": 0.0})
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_num_threads() == threads
        assert torch.get_default_dtype() == torch.float32


def test_fit_restores_the_random_generator_after_an_error() -> None:
    model = lgmrec()
    torch.manual_seed(123)
    before = torch.get_rng_state()

    def stop(embeddings: Embeddings) -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, validate=stop)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_does_not_import_the_compiler() -> None:
    """The optimisers of PyTorch import it, which takes two seconds and 70 MB."""
    code = """
import sys, torch
from prismrec.experiments.synthetic import random_dataset
from prismrec.models.mf_bpr import MFBPR
from prismrec.models.prism import Prism
from prismrec.records import Settings
from prismrec.training import fit
data = random_dataset(30, 20, 100, {})
fit(MFBPR(data.train, {}, MFBPR.Config()), data.train, Settings(epochs=1))
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
