"""The one error that means: the input is at fault, not the program (exit code 2)."""

from pathlib import Path


class InputError(ValueError):
    """Input that cannot be used, told in one line: where, what was found, what was expected.

    Attributes:
        where: the file, flag or field at fault, with the place inside it ("a.csv, line 3").
        found: what stands there.
        expected: what should stand there, or what to do.
    """

    def __init__(self, where: str | Path, found: str, expected: str) -> None:
        self.where = str(where)
        self.found = found
        self.expected = expected
        super().__init__(f"{where}: found {found}; expected {expected}".replace("\n", " "))
