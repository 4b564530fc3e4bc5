"""The subpackages of docs/design.md, the direction of imports between them, and the shape of the code in them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import prismrec

ROOT = Path(prismrec.__file__).parent
BASE = {"errors", "files", "parameters", "provenance", "records", "stopping", "temporary", "types", "words"}
MODELLING = BASE | {"ops", "graph", "nn", "models"}
ALLOWED = {
    "__main__": {"cli"},
    "errors": set(),
    "memory": set(),
    "process": set(),
    "parameters": {"errors"},
    "records": {"parameters"},
    "stopping": {"records"},
    "cluster": {"errors"},
    "temporary": set(),
    "words": set(),
    "files": {"errors", "temporary"},
    "types": {"errors"},
    "provenance": {"errors", "records", "types"},
    "ops": {"errors", "types"},
    "data": BASE,
    "content": BASE | {"data", "ops"},
    "demo": BASE | {"data", "content"},
    "graph": BASE | {"ops"},
    "nn": BASE | {"ops", "graph"},
    "models": BASE | {"ops", "graph", "nn"},
    "training": MODELLING | {"process"},
    "retrieval": {"errors", "types", "ops"},
    "evaluation": {"errors", "types", "ops", "retrieval"},
    "runs": BASE | {"cluster", "data", "retrieval", "evaluation"},
    "serving": BASE | {"retrieval", "runs"},
    "experiments": MODELLING | {"cluster", "memory", "data", "demo", "training", "retrieval", "evaluation", "runs"},
    "testing": MODELLING | {"training", "retrieval", "evaluation"},
    "cli": MODELLING
    | {"memory", "process", "data", "content", "demo", "training", "retrieval", "evaluation", "runs", "serving"}
    | {"experiments"},
}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported_names(tree: ast.Module) -> set[str]:
    """Full names such as prismrec.ops.rows.take_rows."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("prismrec.")}


def test_imports_point_one_way_only() -> None:
    wrong = []
    for path, tree in modules():
        here = room(path)
        if here == "__init__":
            continue
        there = {name.split(".")[1] for name in imported_names(tree)} - ALLOWED[here] - {here}
        wrong += [f"{path.relative_to(ROOT)} imports {name}" for name in there]
    assert wrong == []


def test_every_room_has_a_place_in_the_plan() -> None:
    assert {room(path) for path, _ in modules()} - {"__init__"} == set(ALLOWED)


def test_every_door_of_ops_and_nn_has_more_than_one_user() -> None:
    """What one file alone uses, that file imports from its module. Tests count as users."""
    users: dict[str, set[Path]] = {}
    tests = Path(__file__).parent.rglob("*.py")
    parsed = [*modules(), *[(path, ast.parse(path.read_text(encoding="utf-8"))) for path in tests]]
    for path, tree in parsed:
        for name in imported_names(tree):
            users.setdefault(name, set()).add(path)
    for package in ("ops", "nn"):
        init = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
        doors = {alias.asname or alias.name for n in init.body if isinstance(n, ast.ImportFrom) for alias in n.names}
        rare = {door for door in doors if len(users.get(f"prismrec.{package}.{door}", set())) < 2}
        assert rare == set(), package


def test_ops_alone_calls_the_kernels_and_asks_for_the_device() -> None:
    for path, tree in modules():
        if room(path) == "ops":
            continue
        assert not any(name.startswith("prismrec.ops._kernels") for name in imported_names(tree)), path
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not attributes & {"is_cpu", "is_cuda"}, path


PARTS = {"prism.py": {"spectral"}}
"""Models that consist of other models."""


def test_no_model_names_a_file_a_device_or_another_model() -> None:
    """Models share mathematics through ops, graph and nn; only base classes, of models and of configs, are common."""
    for path, tree in modules():
        if room(path) != "models" or path.name in ("__init__.py", "registry.py"):
            continue
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("pathlib", "open(", "cuda")), path.name
        siblings = {name.split(".")[2] for name in imported_names(tree) if name.startswith("prismrec.models.")}
        assert siblings <= {"base", "item_graph_config"} | PARTS.get(path.name, set()), path.name


def test_no_generator_expression_is_unpacked() -> None:
    """`a, b = (f(x) for x in pair)` hides what a and b are."""
    found = []
    for path, tree in modules():
        for node in ast.walk(tree):
            unpacks = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple | ast.List)
            if unpacks and isinstance(node.value, ast.GeneratorExp):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
            if isinstance(node, ast.Starred) and isinstance(node.value, ast.GeneratorExp):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def test_json_is_parsed_where_its_depth_does_no_harm() -> None:
    """`json.loads` raises a RecursionError, and gives texts that no file can hold."""
    found = []
    for path, tree in modules():
        names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        if names & {"json.loads", "json.load"} and path.name != "errors.py":
            found.append(str(path.relative_to(ROOT)))
    assert found == []


def test_functions_have_at_most_50_lines_and_files_300() -> None:
    long = []
    for path, tree in modules():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > 300:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > 50:
                long.append(f"{path.relative_to(ROOT)}: {node.name}, {(node.end_lineno or 0) - node.lineno + 1} lines")
    assert long == []


def test_stored_tables_are_read_where_names_have_no_meaning() -> None:
    """polars takes brackets in a path for a pattern, and a tilde for the home folder."""
    readers = {"read_parquet", "scan_parquet", "scan_csv", "scan_ndjson", "scan_ipc", "read_ipc"}
    allowed = {"files.py", "data/readers/parquet.py"}
    found = [
        f"{path.relative_to(ROOT)}: {node.attr}"
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in readers and path.relative_to(ROOT).as_posix() not in allowed
    ]
    assert found == []
