"""The error for bad input (exit code 2)."""

import re
from numbers import Integral, Real
from pathlib import Path

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that end a line, control a terminal, turn the order of others, or cannot be encoded."""


def printable(text: str) -> str:
    """The text in one line, with characters that change how a terminal shows it in the form of Python's escapes."""
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


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
        message = f"{where}: found {found}; expected {expected}".replace("\n", " ")
        super().__init__(printable(message))

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str, str]]:
        """What to pickle: workers send errors to the process that started them."""
        return type(self), (self.where, self.found, self.expected)


class ParameterError(InputError):
    """A parameter whose value cannot be used. The command line prints the option instead of the parameter.

    Attributes:
        parameter: its name in the Python API; "config.layers" is the hyperparameter `layers`.
    """

    def __init__(self, parameter: str, found: str, expected: str) -> None:
        self.parameter = parameter
        super().__init__(parameter, found, expected)


def check_type(parameter: str, value: object, kind: type | tuple[type, ...], expected: str) -> None:
    """Refuse an argument of another type.

    Args:
        parameter: its name.
        value: the argument.
        kind: the types that it may have; a truth value is no number.
        expected: these types in words.

    Raises:
        ParameterError: the argument has another type.
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind in (Integral, Real)):
        raise ParameterError(parameter, f"an object of type {type(value).__name__}", expected)
