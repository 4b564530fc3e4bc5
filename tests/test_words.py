import pytest

from prismrec.words import count, seconds_text


@pytest.mark.parametrize(("seconds", "text"), [(123.456, "123.46"), (0.1, "0.10"), (0.00421, "0.0042"), (0, "0.00")])
def test_short_times_are_not_rounded_to_nothing(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_one_thing_is_not_many() -> None:
    assert [count(1, "epoch"), count(2, "epoch"), count(1200, "process")] == ["1 epoch", "2 epochs", "1,200 processes"]
