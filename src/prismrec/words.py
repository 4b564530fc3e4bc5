"""Counts and durations as text."""

from datetime import timedelta


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 trial, 2 trials, 3 processes."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def seconds_text(seconds: float) -> str:
    """Seconds with two digits that say something: 12.35, 0.12, 0.0042."""
    return f"{seconds:.2f}" if seconds >= 0.1 or not seconds else f"{seconds:.2g}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, at least one second."""
    return str(timedelta(seconds=max(round(seconds), 1)))
