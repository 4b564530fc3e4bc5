import pytest

from prismrec.records import EpochRecord, Settings
from prismrec.stopping import Ending, find_ending, out_of_patience


def history(scores: list[float | None]) -> list[EpochRecord]:
    return [
        EpochRecord(epoch=epoch, loss={}, seconds=0.0, valid=None if score is None else {"recall@20": score})
        for epoch, score in enumerate(scores, 1)
    ]


def first_stop(settings: Settings, best_epoch: int, every: int = 1) -> int:
    """The epoch after which training stops if no validation after `best_epoch` is better."""
    for validations in range(1, 2000):
        if out_of_patience(settings, best_epoch + validations * every, best_epoch, validations):
            return best_epoch + validations * every
    raise AssertionError("never")


def test_a_fixed_patience_counts_validations() -> None:
    settings = Settings(patience=7)
    assert first_stop(settings, best_epoch=100) == 107
    assert first_stop(settings, best_epoch=100, every=5) == 135


@pytest.mark.parametrize(("best_epoch", "stop"), [(1, 51), (20, 70), (100, 150), (101, 152), (200, 300), (384, 576)])
def test_auto_waits_for_50_epochs_or_half_of_the_best_epoch(best_epoch: int, stop: int) -> None:
    assert first_stop(Settings(), best_epoch) == stop


@pytest.mark.parametrize(("every", "stop"), [(2, 120), (5, 120), (10, 170), (40, 470)])
def test_auto_waits_for_10_validations(every: int, stop: int) -> None:
    assert first_stop(Settings(validate_every=every), best_epoch=70, every=every) == stop


def test_nothing_stops_before_the_first_validation() -> None:
    for patience in ("auto", 1):
        assert not out_of_patience(Settings(patience=patience), 999, 0, 0)


def test_the_reason_of_a_callback_comes_before_the_others() -> None:
    *earlier, last = history([0.1, 0.3, 0.2, 0.1])
    ending = find_ending([*earlier, last.model_copy(update={"stop": "the budget is spent"})], Settings(patience=2))
    assert ending.reason == "callback"
    assert ending.describe("recall@20") == "stopped after epoch 4 by a callback: the budget is spent"


def test_an_ending_names_the_exhausted_patience() -> None:
    ending = find_ending(history([0.1, 0.3, 0.2, 0.1]), Settings(patience=2))
    assert ending == Ending("no_improvement", epochs=4, best_epoch=2, late_gain=0.0)
    assert ending.describe("recall@20") == "stopped after epoch 4: no better validation recall@20 since epoch 2"


@pytest.mark.parametrize(("last", "rising"), [(0.504, False), (0.506, True)])
def test_an_ending_says_whether_the_last_quarter_raised_the_best_score_by_one_percent(
    last: float, rising: bool
) -> None:
    scores = [0.1, 0.2, 0.5, 0.4, 0.4, 0.3, 0.4, last]
    ending = find_ending(history(scores), Settings(epochs=8))
    assert ending.reason == "epoch_limit"
    assert ending.late_gain == pytest.approx(last / 0.5 - 1)
    assert ending.rising is rising
    assert ending.describe("recall@20").startswith("reached the limit of 8 epochs")
    advice = "; validation recall@20 still rose by 1.2% in the last quarter of the epochs, so more epochs may help"
    assert ending.describe("recall@20").endswith(advice) is rising


def test_a_small_patience_that_stops_a_rising_curve_is_named() -> None:
    scores = [0.1] * 12 + [0.2, 0.1, 0.1, 0.1]
    message = find_ending(history(scores), Settings(patience=3)).describe("recall@20")
    assert message.endswith("rose by 100.0% in the last quarter of the epochs, so more patience may help")


@pytest.mark.parametrize(
    ("scores", "epochs", "reason"),
    [
        ([], 5, "untrained"),
        ([0.2, 0.1], 5, "interrupted"),
        ([None] * 5, 5, "epoch_limit"),
        ([0.0] * 5, 5, "epoch_limit"),
    ],
)
def test_other_endings(scores: list[float | None], epochs: int, reason: str) -> None:
    ending = find_ending(history(scores), Settings(epochs=epochs))
    assert ending.reason == reason
    assert not ending.rising
    assert bool(ending.describe("recall@20")) == bool(scores)
