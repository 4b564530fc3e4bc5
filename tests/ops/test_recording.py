import pytest
import torch

from prismrec.models import REGISTRY
from prismrec.ops.recording import Steps
from prismrec.records import Settings
from prismrec.testing import toy_features, toy_interactions
from prismrec.training import fit
from prismrec.types import Triplets


def batch(size: int, first: int = 0, device: str = "cpu") -> Triplets:
    return Triplets(*(torch.arange(size, device=device) + first + side for side in range(3)))


def test_on_a_cpu_every_step_is_taken() -> None:
    taken: list[Triplets] = []
    steps = Steps(torch.device("cpu"), record=True)
    given = [batch(4), batch(4), batch(3), batch(4)]
    with steps.stream():
        assert not any(steps.take(taken.append, each) for each in given)
    steps.forget()
    assert taken == given


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_a_step_is_taken_twice_for_each_size_and_then_repeated_with_the_numbers_of_each_batch() -> None:
    total, taken, expected = torch.zeros((), dtype=torch.int64, device="cuda"), [], 0

    def step(given: Triplets) -> None:
        taken.append(len(given))
        total.add_((given.users * given.negatives).sum())

    steps, repeated = Steps(torch.device("cuda"), record=True), []
    for number, size in enumerate([4, 4, 4, 3, 4, 3, 3]):
        given = batch(size, number, "cuda")
        expected += int((given.users * given.negatives).sum())
        with steps.stream():
            repeated.append(steps.take(step, given))
    assert taken == [4, 4, 3, 3]
    assert repeated == [False, False, True, False, True, False, True]
    assert int(total) == expected
    steps.forget()
    with steps.stream():
        assert not steps.take(step, batch(4, 0, "cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_step_that_fails_while_it_is_recorded_leaves_the_gpu_usable() -> None:
    def step(given: Triplets) -> None:
        given.users.sum().item()

    steps = Steps(torch.device("cuda"), record=True)
    with steps.stream():
        steps.take(step, batch(4, 0, "cuda"))
        with pytest.raises(RuntimeError):
            steps.take(step, batch(4, 0, "cuda"))
    assert int(batch(4, 0, "cuda").users.sum()) == 6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.usefixtures("float64")  # Adam makes steps of nothing but the rounding of a gradient of zero
def test_repeated_steps_follow_the_learning_rate_and_draw_new_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    train, found = toy_interactions(), []
    settings = {"embedding_size": 6, "batch_size": 8, "lr_decay": 0.5, "learning_rate": 0.05}
    for record in (True, False):
        monkeypatch.setattr(REGISTRY["LGMRec"], "repeats_steps", record)
        torch.manual_seed(0)
        model = REGISTRY["LGMRec"](train, toy_features(2), REGISTRY["LGMRec"].Config(**settings))
        fit(model, train, Settings(epochs=4, device="cuda"))
        found.append(model.state_dict())
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)
