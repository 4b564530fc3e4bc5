"""The error for bad input (exit code 2)."""

from pathlib import Path


class InputError(ValueError):
    """Input that cannot be used, described in one line: where it is, what was found, what was expected.

    Attributes:
        where: the file, parameter or field, with the place inside it ("a.csv, line 3").
        found: what is there.
        expected: what should be there, or what to do.
    """

    def __init__(self, where: str | Path, found: str, expected: str) -> None:
        self.where = str(where)
        self.found = found
        self.expected = expected
        super().__init__(f"{where}: found {found}; expected {expected}".replace("\n", " "))


class ParameterError(InputError):
    """A parameter whose value cannot be used. The command line prints the option instead of the parameter.

    Attributes:
        parameter: its name in the Python API; "config.layers" is the hyperparameter `layers`.
    """

    def __init__(self, parameter: str, found: str, expected: str) -> None:
        self.parameter = parameter
        super().__init__(parameter, found, expected)
