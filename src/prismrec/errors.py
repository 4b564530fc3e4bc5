"""The error for bad input (exit code 2)."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that end a line, control a terminal, turn the order of others, or cannot be encoded."""


def printable(text: str) -> str:
    """The text in one line, with characters that change how a terminal shows it in the form of Python's escapes."""
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def parse_json(text: str | bytes, pairs_hook: Callable[[list[tuple[str, Any]]], object] | None = None) -> Any:
    """The value of a JSON text of any origin.

    Args:
        text: the text.
        pairs_hook: makes an object from its pairs.

    Raises:
        ValueError: the text is no JSON, is nested more deeply than Python can follow, or contains half of a surrogate
            pair, which no file can hold.
    """
    try:
        value = json.loads(text, object_pairs_hook=pairs_hook)
        if _may_have_surrogates(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("too many levels") from None
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair") from None
    return value


def _may_have_surrogates(text: str | bytes) -> bool:
    return (b"\\ud" in text or b"\\uD" in text) if isinstance(text, bytes) else ("\\ud" in text or "\\uD" in text)


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
        kind: the types that it may have; a truth value counts as a number only if `bool` is among them.
        expected: these types in words.

    Raises:
        ParameterError: the argument has another type.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ParameterError(parameter, f"an object of type {type(value).__name__}", expected)


def check_flag(parameter: str, value: object) -> None:
    """Refuse an argument that is neither true nor false; arrays have no truth value.

    Args:
        parameter: its name.
        value: the argument, of Python's or NumPy's type.

    Raises:
        ParameterError: the argument has another type.
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise ParameterError(parameter, f"an object of type {type(value).__name__}", "True or False")


def check_list(parameter: str, value: object, expected: str) -> list[Any]:
    """The entries of a list, an array or another iterable; a text is none.

    Args:
        parameter: its name.
        value: the argument.
        expected: what it may be in words.

    Raises:
        ParameterError: the argument is a text, or nothing that has entries.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise ParameterError(parameter, repr(value), expected)
    try:
        return list(value)
    except TypeError:  # an array without a dimension
        raise ParameterError(parameter, repr(value), expected) from None


def check_choice(parameter: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a text that is not one of several.

    Args:
        parameter: its name.
        value: the argument.
        choices: the texts that it may be.

    Raises:
        ParameterError: the argument is something else.
    """
    if not isinstance(value, str) or value not in choices:
        raise ParameterError(parameter, repr(value), f"one of: {', '.join(choices)}")
