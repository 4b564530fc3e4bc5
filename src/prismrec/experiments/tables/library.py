"""Finding and reading table files."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from prismrec.data import Dataset
from prismrec.errors import InputError, ParameterError
from prismrec.experiments.config_file import SUFFIXES, read_config_file
from prismrec.experiments.tables.schema import Claim, Paper, Row, Sweep, Table
from prismrec.parameters import wanted

_FOLDER = Path(__file__).parent
_PUBLISHED = _FOLDER / "published"
_PAPERS = "papers.yaml"
_SETTINGS = "settings.yaml"
_TYPE = re.compile(r"^(constrained-|literal\[|tuple\[|int$|float$|str$|function-)")
"""How pydantic names the types that a value may have, in the place of an error."""
_LABEL = "a text in one line, without spaces at its ends"
_NAME = "lower-case letters, digits and hyphens, such as my-table"


class KnownSettings(BaseModel):
    """Settings of models that were chosen on the validation split of a data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: int
    items: int
    interactions: int
    source: str
    """How they were chosen."""
    settings: dict[str, dict[str, Any]]
    """Hyperparameters by model."""


def table_names() -> list[str]:
    """The names of all tables."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml") if path.name not in (_PAPERS, _SETTINGS))


@cache
def all_tables() -> tuple[Table, ...]:
    """All tables."""
    return tuple(read_table(name) for name in table_names())


@cache
def reported_tables() -> tuple[Table, ...]:
    """All tables, and those of other papers whose values are shown beside ours."""
    return (*all_tables(), *[_parse(path) for path in sorted(_PUBLISHED.glob("*.yaml"))])


def read_table(name: str) -> Table:
    """A table by its name, or from a file of one's own.

    Raises:
        InputError: there is no such table, or the file cannot be used.
    """
    if name.endswith(SUFFIXES):
        return _parse(Path(name))
    if name not in table_names():
        raise InputError("NAME", repr(name), f"one of {', '.join(table_names())}, or a .yaml file")
    return _parse(_FOLDER / f"{name}.yaml")


@cache
def papers() -> Mapping[str, Paper]:
    """The papers by key."""
    content = _read_file(_FOLDER / _PAPERS)
    return {name: Paper.model_validate(fields) for name, fields in content.items()}


def known_settings(dataset: Dataset) -> KnownSettings | None:
    """Settings that were chosen on a data set with the same name and counts; None if there are none."""
    content = _read_file(_FOLDER / _SETTINGS)
    if dataset.name not in content:
        return None
    known = KnownSettings.model_validate(content[dataset.name])
    return known if (known.users, known.items, known.interactions) == counts(dataset) else None


def counts(dataset: Dataset) -> tuple[int, int, int]:
    """Number of users, items and interactions of all splits."""
    interactions = len(dataset.train) + len(dataset.valid) + len(dataset.test)
    return len(dataset.users), len(dataset.items), interactions


def _read_file(path: Path) -> dict[str, Any]:
    return read_config_file(path, "the keys of a table: name, title, paper, metrics, rows")


def _parse(path: Path) -> Table:
    content = _read_file(path)
    if isinstance(content.get("paper"), str):
        key = content["paper"]
        if key not in papers():
            raise InputError(f"{path}, paper", repr(key), f"one of {', '.join(papers())}, or a mapping")
        content["paper"] = papers()[key]
    try:
        return Table.model_validate(content)
    except ParameterError as error:
        raise InputError(f"{path}, {error.parameter}", error.found, error.expected) from error
    except ValidationError as error:
        raise _describe(path, error) from error


def _describe(path: Path, error: ValidationError) -> InputError:
    """The first error, or a key that does not exist, which often explains why another one is missing."""
    errors = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    first = errors[0]
    where = ", ".join([str(path), *_place(first["loc"])])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        inner = cause.parameter if isinstance(cause, ParameterError) else cause.where
        return InputError(where if where.endswith(inner) else f"{where}, {inner}", cause.found, cause.expected)
    if first["type"] == "extra_forbidden":
        return InputError(where, "no such key", f"one of {', '.join(_keys(first['loc']))}")
    if first["type"] == "missing":
        return InputError(where, "nothing", "a value")
    if first["type"] == "string_pattern_mismatch":
        return InputError(where, repr(first["input"]), _NAME if first["loc"] == ("name",) else _LABEL)
    if first["type"] == "too_short":
        return InputError(where, "none", "one or more")
    alternatives = [wanted(each) for each in errors if _place(each["loc"]) == _place(first["loc"])]
    expected = " or ".join(dict.fromkeys(alternatives)).replace("a valid tuple", "a list")
    return InputError(where, repr(first["input"]), expected)


def _place(loc: Sequence[int | str]) -> list[str]:
    """The place of an error in the words of the file: `row 2` for the second one, without names of types."""
    parts: list[str] = []
    for part in loc:
        if isinstance(part, int):
            parts[-1] = f"{parts[-1].removesuffix('s')} {part + 1}"
        elif not _TYPE.match(part):
            parts.append(part)
    return parts


def _keys(loc: Sequence[int | str]) -> list[str]:
    """The keys of the part of a file to which an unknown key was given."""
    parts: dict[str, type[BaseModel]] = {"rows": Row, "sweeps": Sweep, "claims": Claim, "paper": Paper}
    part = parts.get(str(loc[0]), Table) if len(loc) > 1 else Table
    return list(part.model_fields)
