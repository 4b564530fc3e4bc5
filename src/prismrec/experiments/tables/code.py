"""A hash of the code that trains and measures a model."""

import ast
import hashlib
import inspect
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import prismrec
from prismrec.models import find_model

_ROOT = Path(prismrec.__file__).parent
_SHARED = ("models/base.py", "nn", "graph", "ops", "training", "evaluation")
"""Files and folders of code that all models share."""


@cache
def code_of(model: str) -> str:
    """SHA-256 (hex) of the file of a model and of the code that all models share, without comments and docstrings."""
    module = inspect.getmodule(find_model(model))
    assert module is not None
    assert module.__file__ is not None
    return digest_of([*model_files(Path(module.__file__)), *shared_files()])


def model_files(path: Path) -> list[Path]:
    """The file of a model, and those of other models that it imports from."""
    found: list[Path] = []
    waiting = [path]
    while waiting:
        here = waiting.pop()
        if here in found:
            continue
        found.append(here)
        for node in ast.walk(ast.parse(here.read_bytes())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prismrec.models."):
                waiting.append(_ROOT / "models" / f"{str(node.module).split('.')[2]}.py")
    return sorted(found)


def shared_files() -> list[Path]:
    """The files of the code that all models share."""
    places = [_ROOT / name for name in _SHARED]
    nested = [path for place in places for path in place.rglob("*") if path.suffix in (".py", ".cpp", ".h")]
    return sorted([*[place for place in places if place.is_file()], *nested])


def digest_of(paths: Iterable[Path]) -> str:
    """SHA-256 (hex) of some files: of the code of Python files, without docstrings, and of the bytes of others."""
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(_statements(content).encode() if path.suffix == ".py" else content)
        digest.update(b"\0")
    return digest.hexdigest()


def _statements(source: bytes) -> str:
    """The syntax tree of Python code without its docstrings and those of its variables."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [each for each in node.body if not _is_text(each)]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
