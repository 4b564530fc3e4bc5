"""Config files: keys and values in YAML 1.2 or JSON."""

from io import StringIO
from pathlib import Path
from typing import Any

from prismrec.errors import InputError, parse_json
from prismrec.files import write_text

SUFFIXES = (".yaml", ".yml", ".json")
_LONGEST = 1 << 20
"""Largest size of a config file in bytes."""
_DEEPEST = 20
"""Levels of lists and mappings. The YAML parser takes time in proportion to the square of the levels."""


def read_config_file(path: Path, keys: str) -> dict[str, Any]:
    """The keys and values of a file.

    Args:
        path: a .yaml, .yml or .json file of at most 1 MiB.
        keys: what the file should contain, for the error message.

    Raises:
        InputError: the file cannot be read, is no mapping, has a key twice, or contains a YAML alias.
    """
    expected = "a .yaml, .yml or .json file"
    if path.suffix not in SUFFIXES:
        raise InputError(path, f"a file that ends in {path.suffix!r}", expected)
    try:
        if not path.is_file() or path.stat().st_size > _LONGEST:
            raise InputError(path, "no such file, or more than 1 MiB", expected)
        text = path.read_text(encoding="utf-8-sig")
        content = parse_json(text, pairs_hook=_distinct) if path.suffix == ".json" else _parse_yaml(text)
    except InputError:
        raise
    except OSError as error:
        raise InputError(path, error.strerror or str(error), expected) from error
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise InputError(path, str(error) or type(error).__name__, f"{kind} in UTF-8 with {keys}") from error
    if not isinstance(content, dict):
        raise InputError(path, f"{type(content).__name__}", keys)
    return content


def write_config_file(path: Path, content: dict[str, Any]) -> None:
    """Write keys and values as YAML.

    Raises:
        InputError: the file cannot be written.
    """
    from ruamel.yaml import YAML

    text = StringIO()
    writer = YAML()
    writer.dump(content, text)
    write_text(path, text.getvalue())


def _parse_yaml(text: str) -> object:
    """YAML 1.2, in which 8:1:1 is a text, without aliases, which can stand for huge values.

    Raises:
        ValueError: the text is not such YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

    try:
        depth = 0
        for event in YAML(typ="safe", pure=True).parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > _DEEPEST:
                raise ValueError(f"more than {_DEEPEST} levels in line {event.start_mark.line + 1}")
            if isinstance(event, AliasEvent):
                raise ValueError(f"an alias in line {event.start_mark.line + 1}")
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" in line {mark.line + 1}" if mark else ""
        problem = (error.problem or error.context).removeprefix("but ").removeprefix("found ")
        raise ValueError(f"{problem}{line}") from error
    except YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"the key {name!r} twice")
        result[name] = value
    return result
