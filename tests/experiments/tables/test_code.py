from pathlib import Path

import prismrec
from prismrec.experiments.tables.code import code_of, digest_of, model_files, shared_files


def test_comments_docstrings_and_layout_do_not_change_the_digest_but_code_does(tmp_path: Path) -> None:
    path = tmp_path / "a.py"

    def digest(text: str) -> str:
        path.write_text(text, encoding="utf-8")
        return digest_of([path])

    first = digest("x = 1\n")
    assert digest("# one\nx   =   1  # two\n") == first
    assert digest("x = 2\n") != first
    function = digest("def f():\n    return 'x'\n")
    assert digest("'Text.'\ndef f():\n    'Text.'\n    return 'x'\n") == function
    assert digest("def f():\n    return 'y'\n") != function
    path = tmp_path / "a.cpp"
    assert digest("int x;") != digest("int y;")


def test_models_differ_and_share_what_they_call() -> None:
    assert code_of("VBPR") != code_of("LightGCN")
    assert code_of("VBPR") == code_of("vbpr")
    names = {str(path.relative_to(Path(prismrec.__file__).parent)) for path in shared_files()}
    assert names >= {
        *("models/base.py", "nn/losses.py", "ops/adam.py", "ops/_kernels/sparse.cpp", "graph/knn.py"),
        *("training/trainer.py", "evaluation/metrics.py"),
    }
    assert not any(name.startswith(("serving", "cli", "models/vbpr")) for name in names)


def test_a_model_that_uses_another_one_depends_on_its_file() -> None:
    folder = Path(prismrec.__file__).parent / "models"
    assert {path.name for path in model_files(folder / "prism.py")} == {"base.py", "prism.py", "spectral.py"}
    assert {path.name for path in model_files(folder / "lattice.py")} == {
        "base.py",
        "item_graph_config.py",
        "lattice.py",
    }
