from collections.abc import Callable

import pytest
import torch

from prismrec.errors import ParameterError
from prismrec.models.mf_bpr import MFBPR
from prismrec.models.popular import MostPopular
from prismrec.records import Settings
from prismrec.testing import toy_interactions
from prismrec.training import Callback, EpochEnd, Trained, TrainingEnd, TrainingStart, fit
from prismrec.types import Embeddings


class Recording(Callback):
    """Notes what it is told, in order."""

    def __init__(self, stop_after: int = 1000, reason: str = "enough") -> None:
        self.stop_after = stop_after
        self.reason = reason
        self.calls: list[TrainingStart | EpochEnd | TrainingEnd] = []

    def on_start(self, start: TrainingStart) -> None:
        self.calls.append(start)

    def on_epoch(self, epoch: EpochEnd) -> str | None:
        self.calls.append(epoch)
        return self.reason if epoch.record.epoch == self.stop_after else None

    def on_end(self, end: TrainingEnd) -> None:
        self.calls.append(end)


def model(**settings: object) -> MFBPR:
    torch.manual_seed(0)
    return MFBPR(toy_interactions(), {}, MFBPR.Config(embedding_size=6, batch_size=16, **settings))


def train(*callbacks: Callback, epochs: int = 4, **kwargs: object) -> Trained:
    settings = Settings(epochs=epochs, device="cpu")
    return fit(model(), toy_interactions(), settings, callbacks=callbacks, **kwargs)


def test_a_callback_is_called_at_the_start_after_each_epoch_and_at_the_end() -> None:
    recording = Recording()
    train(recording, epochs=2)
    start, first, second, end = recording.calls
    assert (start.model, start.config.batch_size, start.settings.epochs, start.history) == ("MF-BPR", 16, 2, ())
    assert [first.record.epoch, second.record.epoch] == [1, 2]
    assert first.record.loss["bpr"] > 0
    assert (end.epochs, end.best_epoch, end.error) == (2, 0, None)


def test_a_callback_sees_the_validation_metrics_and_the_best_epoch() -> None:
    recording, scores = Recording(), iter([0.2, 0.5, 0.1])
    train(recording, epochs=3, validate=lambda _: {"recall@20": next(scores)})
    epochs = recording.calls[1:-1]
    assert [epoch.record.valid for epoch in epochs] == [{"recall@20": 0.2}, {"recall@20": 0.5}, {"recall@20": 0.1}]
    assert [epoch.best_epoch for epoch in epochs] == [1, 2, 2]
    assert recording.calls[-1].best_epoch == 2


def test_a_callback_can_stop_the_training_and_its_reason_is_the_one_that_is_stated() -> None:
    stopping, other = Recording(stop_after=2, reason="the budget is spent"), Recording()
    trained = train(other, stopping, epochs=100)
    assert len(trained.progress.history) == 2
    assert trained.stop_reason == "stopped after epoch 2 by a callback: the budget is spent"
    assert other.calls[-1].reason == trained.stop_reason
    assert [record.stop for record in trained.progress.history] == [None, "the budget is spent"]


def test_without_a_callback_the_reason_is_that_of_the_settings() -> None:
    assert train(epochs=3).stop_reason == "reached the limit of 3 epochs"
    impatient = Settings(epochs=10, patience=2, device="cpu")
    trained = fit(model(), toy_interactions(), impatient, lambda _: {"recall@20": 0.0})
    assert trained.stop_reason == "stopped after epoch 3: no better validation recall@20 since epoch 1"
    popular = fit(MostPopular(toy_interactions(), {}, MostPopular.Config()), toy_interactions(), Settings())
    assert popular.stop_reason == "the model has no weights to train"


def test_embeddings_are_copies_of_those_after_the_epoch() -> None:
    class Keeping(Callback):
        def __init__(self) -> None:
            self.kept: list[Embeddings] = []

        def on_epoch(self, epoch: EpochEnd) -> None:
            self.kept.append(epoch.embeddings())
            epoch.embeddings().users.zero_()

    keeping = Keeping()
    trained = train(keeping, epochs=3)
    untouched = train(epochs=3)
    assert not torch.equal(keeping.kept[0].users, keeping.kept[2].users)
    assert torch.equal(keeping.kept[2].users, trained.embeddings.users)
    assert torch.equal(trained.embeddings.users, untouched.embeddings.users)


def test_embeddings_of_an_epoch_that_has_passed_are_refused() -> None:
    recording = Recording()
    train(recording, epochs=2)
    with pytest.raises(RuntimeError, match="embeddings of epoch 1 are gone"):
        recording.calls[1].embeddings()


def failing(error: BaseException) -> Callable[[Embeddings], dict[str, float]]:
    def validate(_: Embeddings) -> dict[str, float]:
        raise error

    return validate


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("the disk is full")])
def test_every_callback_is_closed_if_the_training_fails(error: BaseException) -> None:
    class Failing(Recording):
        def on_end(self, end: TrainingEnd) -> None:
            super().on_end(end)
            raise OSError("cannot close")

    first, second = Failing(), Recording()
    with pytest.raises(OSError, match="cannot close"):
        train(first, second, validate=failing(error))
    assert first.calls[-1].error is error
    assert second.calls[-1].error is error
    assert second.calls[-1].reason == (str(error) or "KeyboardInterrupt")


def test_a_callback_that_did_not_start_is_not_closed() -> None:
    class Refusing(Recording):
        def on_start(self, start: TrainingStart) -> None:
            raise OSError("no server")

    first, second = Recording(), Refusing()
    with pytest.raises(OSError, match="no server"):
        train(first, second)
    assert isinstance(first.calls[-1], TrainingEnd)
    assert second.calls == []


def test_callbacks_do_not_change_the_result() -> None:
    with_callbacks, without = train(Recording(), Recording()), train()
    assert torch.equal(with_callbacks.embeddings.users, without.embeddings.users)
    assert torch.equal(with_callbacks.embeddings.items, without.embeddings.items)


@pytest.mark.parametrize("returned", [False, True, 0, "", ["enough"]])
def test_a_callback_returns_none_or_a_reason_and_nothing_else(returned: object) -> None:
    with pytest.raises(ParameterError, match=r"callbacks: found .* from Recording.on_epoch; expected None to continue"):
        train(Recording(stop_after=1, reason=returned))
