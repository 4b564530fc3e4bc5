"""Models by name, by class, by path and from other packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prismrec.errors import InputError
from prismrec.models import REGISTRY, Recommender, find_model
from prismrec.models.lgmrec import LGMRec

OUTSIDE = Path(__file__).parent / "outside"


@pytest.mark.parametrize("name", ["LGMRec", "lgmrec", "LGM-Rec", "lgm_rec", "prismrec.models.lgmrec:LGMRec"])
def test_a_model_is_found_whatever_the_spelling_of_its_name(name: str) -> None:
    assert find_model(name) is LGMRec
    assert find_model(LGMRec) is LGMRec


def test_names_are_those_of_the_classes() -> None:
    assert all(model.name == name for name, model in REGISTRY.items())


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("raise RuntimeError('boom')", "RuntimeError('boom')"),
        ("import sys; sys.exit(7)", "SystemExit(7)"),
        ("1/0 = x", "SyntaxError("),
        ("import nowhere", "No module named 'nowhere'"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_its_error(
    code: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_model.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="model: found 'broken_model:Model': ") as error:
        find_model("broken_model:Model")
    assert found in str(error.value)


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("LGM", "'LGM'"),
        ("nowhere.at_all:Model", "No module named 'nowhere'"),
        ("prismrec.models.lgmrec:Nothing", "Nothing"),
        ("prismrec.models.lgmrec:LGMRecConfig", "LGMRecConfig"),
        ("prismrec.models:", "prismrec.models:"),
        (":", ":"),
        (Recommender, "Recommender"),
        (int, "int"),
        (type("Mine", (LGMRec,), {}), "with the name of another model, 'LGMRec'"),
        (type("Mine", (LGMRec,), {"name": ""}), "with the name ''"),
        (type("Mine", (LGMRec,), {"name": "a\nb"}), "with the name 'a\\nb'"),
        (type("Mine", (LGMRec,), {"name": "Mine", "Config": dict}), "with Config = <class 'dict'>"),
    ],
)
def test_what_is_no_model_is_refused(model: str | type[Recommender], found: str) -> None:
    with pytest.raises(InputError, match="model: found") as error:
        find_model(model)
    assert found in str(error.value)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a program that has the other package installed."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "outside"
    (source / "src").mkdir(parents=True)
    for name in ("pyproject.toml", "src/prismrec_outside.py"):
        (source / name).write_text((OUTSIDE / name).read_text())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")])}


def test_a_model_of_another_package_is_trained_by_name_and_passes_the_contract(
    installed: dict[str, str], tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    rows = [f"u{u},i{(3 * u + k) % 11}" for u in range(20) for k in range(4)]
    (shop / "interactions.csv").write_text("\n".join(["user_id,item_id", *rows]))
    main = "from prismrec.cli import main; main()"
    for number, model in enumerate(("mean", "prismrec_outside:MeanOfItems")):
        out = tmp_path / f"run{number}"
        words = ["train", model, str(shop), "--out", str(out), "--epochs", "1", "--set", "regulariser=0.1"]
        subprocess.run([sys.executable, "-c", main, *words], env=installed, check=True, capture_output=True)
        assert (out / "metrics.json").exists()
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "-x", str(OUTSIDE / "test_mean.py")]
    done = subprocess.run([sys.executable, *words], env=installed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
