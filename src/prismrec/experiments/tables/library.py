"""Finding and reading table files."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from prismrec.data import Dataset
from prismrec.errors import InputError
from prismrec.experiments.tables.schema import Paper, Table

_FOLDER = "tables"
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
    names = [Path(each.name).stem for each in _folder().iterdir() if each.name.endswith(".yaml")]
    return sorted(name for name in names if f"{name}.yaml" not in (_PAPERS, _SETTINGS))


@cache
def all_tables() -> tuple[Table, ...]:
    """All tables."""
    return tuple(read_table(name) for name in table_names())


def read_table(name: str) -> Table:
    """A table by its name, or from a file of one's own.

    Raises:
        InputError: there is no such table, or the file cannot be used.
    """
    if name.endswith((".yaml", ".yml")):
        return _parse(name, _read_file(Path(name)))
    if name not in table_names():
        raise InputError("NAME", repr(name), f"one of {', '.join(table_names())}, or a .yaml file")
    return _parse(name, (_folder() / f"{name}.yaml").read_text(encoding="utf-8"))


@cache
def papers() -> Mapping[str, Paper]:
    """The papers by key."""
    content = _yaml((_folder() / _PAPERS).read_text(encoding="utf-8"))
    return {name: Paper.model_validate(fields) for name, fields in content.items()}


def known_settings(dataset: Dataset) -> KnownSettings | None:
    """Settings that were chosen on a data set with the same name and counts; None if there are none."""
    content = _yaml((_folder() / _SETTINGS).read_text(encoding="utf-8"))
    if dataset.name not in content:
        return None
    known = KnownSettings.model_validate(content[dataset.name])
    return known if (known.users, known.items, known.interactions) == counts(dataset) else None


def counts(dataset: Dataset) -> tuple[int, int, int]:
    """Number of users, items and interactions of all splits."""
    interactions = len(dataset.train) + len(dataset.valid) + len(dataset.test)
    return len(dataset.users), len(dataset.items), interactions


def _folder() -> Any:
    return files("prismrec.experiments") / _FOLDER


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(path, str(error), "a table file in YAML") from error


def _parse(name: str, text: str) -> Table:
    try:
        content = _yaml(text)
        if isinstance(content.get("paper"), str):
            key = content["paper"]
            if key not in papers():
                raise InputError(f"{name}, paper", repr(key), f"one of {', '.join(papers())}, or a mapping")
            content["paper"] = papers()[key]
        return Table.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{name}, {place}", str(first["input"])[:200], first["msg"]) from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(name, str(error), "a table file in YAML") from error


def _yaml(text: str) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise ValueError(f"{type(content).__name__} instead of a mapping")
    return content
