"""Where an imported data set comes from: `import.json` beside its tables."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from prismrec.data.readers.boundary import LARGEST_RECORD, exists, printable
from prismrec.errors import parse_json

FILE = "import.json"
_FORMAT = "prismrec import 1"


@dataclass(frozen=True)
class Step:
    """A step of an import, such as `rating >= 4`, and the number of interactions after it."""

    name: str
    interactions: int


@dataclass(frozen=True)
class ImportRecord:
    """What `import.json` says.

    Attributes:
        source: the name of the source, with its part, such as `amazon-2014:Baby`.
        title: its title.
        licence: who may use it for what.
        page: where the publisher describes it.
        version: the version of prismrec.
        files: the files that were read, with their sizes in bytes.
        options: the options that were given.
        steps: the interactions in the files, and after each step.
        users: number of users.
        items: number of items in the item table, or with an interaction if there is no item table.
        notes: what the reader counted and decided.
    """

    source: str
    title: str
    licence: str
    page: str
    version: str
    files: Mapping[str, int]
    options: Mapping[str, object]
    steps: tuple[Step, ...]
    users: int
    items: int
    notes: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Write the file."""
        content = {"format": _FORMAT, **asdict(self)}
        (folder / FILE).write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    def describe(self) -> list[str]:
        """Notes that say where the data set comes from."""
        steps = [f"{step.name}: {step.interactions:,}" for step in self.steps]
        notes = [f"imported from {self.title} ({self.source}); interactions: {'; '.join(steps)}"]
        return [printable(note) for note in [*notes, *map(str, self.notes)]]

    def continued(self, step: str, interactions: int, users: int, items: int, notes: Iterable[str]) -> "ImportRecord":
        """The record of a copy that may have been filtered or split.

        Args:
            step: what was done.
            interactions: number of interactions in the copy.
            users: number of its users.
            items: number of its items.
            notes: of reading the original, which repeat those of the record.
        """
        described = self.describe()
        new = tuple(note for note in notes if note not in described)
        steps = (*self.steps, Step(step, interactions))
        return replace(self, steps=steps, users=users, items=items, notes=(*self.notes, *new))


def read_import(folder: Path) -> ImportRecord | None:
    """What `import.json` in a folder says; None if no import wrote the folder."""
    path = folder / FILE
    if not exists(path) or not path.is_file() or path.stat().st_size > LARGEST_RECORD:
        return None
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        if content.pop("format") != _FORMAT:
            return None
        return TypeAdapter(ImportRecord).validate_python(content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # another program's file; it is listed among the files that are not read
