"""Counts and durations as text."""

from datetime import timedelta


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 trial, 2 trials, 3 processes."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, at least one second."""
    return str(timedelta(seconds=max(round(seconds), 1)))
