"""Finding and reading table files."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from prismrec.data import Dataset
from prismrec.errors import InputError, ParameterError
from prismrec.experiments.config_file import SUFFIXES, read_config_file
from prismrec.experiments.tables.schema import Paper, Table
from prismrec.parameters import wanted

_FOLDER = Path(__file__).parent
_PUBLISHED = _FOLDER / "published"
_PAPERS = "papers.yaml"
_SETTINGS = "settings.yaml"


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
    place = ".".join(str(part) for part in errors[0]["loc"])
    where = f"{path}, {place}" if place else str(path)
    kind, message, found = errors[0]["type"], errors[0]["msg"], errors[0]["input"]
    if kind == "extra_forbidden":
        return InputError(where, "no such key", f"one of {', '.join(Table.model_fields)}, or a key of a part of them")
    if kind == "missing":
        return InputError(where, "nothing", "a value")
    if isinstance(found, dict | list | BaseModel):
        return InputError(where, message.removeprefix("Value error, "), "a table that fits together")
    return InputError(where, repr(found), wanted(errors[0]))
