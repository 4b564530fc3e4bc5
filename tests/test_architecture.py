"""The rooms of docs/design.md and the direction of imports between them."""

import ast
from pathlib import Path

import prismrec

ROOT = Path(prismrec.__file__).parent
BASE = {"errors", "files", "types"}
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "types": {"errors"},
    "kernels": set(),
    "blocks": set(),
    "selection": {"kernels"},
    "data": BASE,
    "graph": BASE | {"blocks", "kernels", "selection"},
    "nn": BASE | {"blocks", "graph", "kernels"},
    "models": BASE | {"graph", "nn"},
    "training": BASE | {"blocks", "models", "kernels"},
    "evaluation": {"blocks", "errors", "types", "selection"},
    "experiments": BASE | {"kernels", "selection", "data", "graph", "nn", "models", "training", "evaluation"},
    "cli": BASE | {"data", "models", "training", "evaluation", "experiments"},
}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {module.split(".")[1] for module in modules if module.startswith("prismrec.")}


def test_imports_point_one_way_only() -> None:
    wrong = []
    for path in ROOT.rglob("*.py"):
        here = room(path)
        if here == "__init__":
            continue
        wrong += [
            f"{path.relative_to(ROOT)} imports {there}" for there in imported_rooms(path) - ALLOWED[here] - {here}
        ]
    assert wrong == []


def test_every_room_has_a_place_in_the_plan() -> None:
    rooms = {room(path) for path in ROOT.rglob("*.py")} - {"__init__"}
    assert rooms == set(ALLOWED)


def test_no_model_names_a_file_a_device_or_another_model() -> None:
    """Models share mathematics through nn and graph; only base classes, of models and of configs, are common."""
    for path in (ROOT / "models").glob("*.py"):
        if path.name == "__init__.py":
            continue
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("pathlib", "open(", "cuda")), path.name
        siblings = {
            module
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ImportFrom) and (module := node.module or "").startswith("prismrec.models")
        }
        assert siblings <= {"prismrec.models.base", "prismrec.models.item_graph_config"}, path.name
