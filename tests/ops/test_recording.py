import pytest
import torch

from prismrec.models.lgmrec import LGMRec
from prismrec.ops.recording import StepRecorder, is_recording
from prismrec.records import Settings
from prismrec.testing import toy_features, toy_interactions
from prismrec.training import fit
from prismrec.types import Triplets

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def batch(size: int, first: int = 0, device: str = "cpu") -> Triplets:
    numbers = torch.arange(size, device=device) + first
    return Triplets(numbers, numbers + 1, numbers + 2)


def test_a_cpu_runs_every_step() -> None:
    taken: list[Triplets] = []
    recorder = StepRecorder(torch.device("cpu"), record=True)
    batches = [batch(4), batch(4), batch(4), batch(3), batch(4)]
    with recorder.stream():
        for each in batches:
            recorder.run(taken.append, each)
    recorder.forget()
    recorder.run(taken.append, batches[0])
    assert len(taken) == 6
    assert all(found is given for found, given in zip(taken, [*batches, batches[0]], strict=True))
    assert not is_recording(batches[0].users)


@on_gpu
def test_a_gpu_records_the_second_batch_of_a_size_and_replays_it_for_later_batches() -> None:
    total, taken, expected = torch.zeros((), dtype=torch.int64, device="cuda"), [], 0

    def step(given: Triplets) -> None:
        taken.append(len(given))
        total.add_((given.users * given.negatives).sum())

    recorder = StepRecorder(torch.device("cuda"), record=True)
    for number, size in enumerate([4, 4, 4, 3, 4, 3, 3]):
        given = batch(size, number, "cuda")
        expected += int((given.users * given.negatives).sum())
        with recorder.stream():
            recorder.run(step, given)
    assert taken == [4, 4, 3, 3]
    assert int(total) == expected
    recorder.forget()
    with recorder.stream():
        recorder.run(step, batch(4, 0, "cuda"))
    assert taken == [4, 4, 3, 3, 4]


@on_gpu
def test_a_step_that_fails_during_recording_leaves_the_gpu_usable() -> None:
    def step(given: Triplets) -> None:
        given.users.sum().item()

    recorder = StepRecorder(torch.device("cuda"), record=True)
    with recorder.stream():
        recorder.run(step, batch(4, 0, "cuda"))
        with pytest.raises(RuntimeError):
            recorder.run(step, batch(4, 0, "cuda"))
    assert int(batch(4, 0, "cuda").users.sum()) == 6
    torch.rand(3, device="cuda")
    recorder.forget()
    drawn = torch.zeros(3, device="cuda")
    with recorder.stream():
        for number in range(3):
            recorder.run(lambda _: drawn.uniform_(), batch(4, number, "cuda"))
    assert drawn.all()


@on_gpu
@pytest.mark.usefixtures("float64")  # in float32, Adam makes full steps from gradients that are rounding errors
def test_replayed_steps_follow_the_learning_rate_and_draw_new_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    train, found = toy_interactions(), []
    config = LGMRec.Config(embedding_size=6, batch_size=8, lr_decay=0.5, learning_rate=0.05)
    for record in (True, False):
        monkeypatch.setattr(LGMRec, "repeats_steps", record)
        torch.manual_seed(0)
        model = LGMRec(train, toy_features(2), config)
        fit(model, train, Settings(epochs=4, device="cuda"))
        found.append(model.state_dict())
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5)
