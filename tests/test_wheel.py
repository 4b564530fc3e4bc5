"""Wheels that pip builds with and without a compiler."""

import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

import prismrec

ROOT = Path(prismrec.__file__).parents[2]
KERNELS = "src/prismrec/ops/_kernels"


def build(folder: Path, **environment: str) -> Path:
    """A wheel of this checkout, with one tiny kernel in place of the real ones."""
    source = folder / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.so", "*.cpp", "*.egg-info"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    (source / KERNELS / "tiny.cpp").write_text('extern "C" int tiny() { return 0; }\n')
    command = [sys.executable, "-c", "import setuptools.build_meta as build; build.build_wheel('.')"]
    subprocess.run(command, cwd=source, env={**os.environ, **environment}, capture_output=True, check=True)
    [wheel] = source.glob("*.whl")
    return wheel


def metadata(wheel: Path, name: str) -> Message:
    with zipfile.ZipFile(wheel) as file:
        [path] = [each for each in file.namelist() if each.endswith(f".dist-info/{name}")]
        return message_from_string(file.read(path).decode())


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("pure"), CC="/bin/false", CXX="/bin/false")


def test_a_wheel_without_kernels_is_for_every_platform(pure: Path) -> None:
    assert pure.name.endswith("-py3-none-any.whl")
    facts = metadata(pure, "WHEEL")
    assert (facts["Tag"], facts["Root-Is-Purelib"]) == ("py3-none-any", "true")
    names = zipfile.ZipFile(pure).namelist()
    assert "prismrec/__init__.py" in names
    assert not any(name.endswith((".so", ".pyd", ".cpp")) for name in names)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler here")
def test_a_wheel_with_kernels_is_for_this_platform(tmp_path: Path) -> None:
    wheel = build(tmp_path)
    assert "-cp311-abi3-" in wheel.name
    assert metadata(wheel, "WHEEL")["Root-Is-Purelib"] == "false"
    assert any(name.startswith("prismrec/ops/_kernels/_kernels.") for name in zipfile.ZipFile(wheel).namelist())


def test_a_wheel_has_the_tables_of_the_papers_and_the_page_of_their_report(pure: Path) -> None:
    names = set(zipfile.ZipFile(pure).namelist())
    folder = ROOT / "src" / "prismrec" / "experiments" / "tables"
    files = [path for pattern in ("*.yaml", "*.html") for path in folder.glob(pattern)]
    assert len(files) > 15
    assert {f"prismrec/experiments/tables/{path.name}" for path in files} <= names


def test_the_description_for_an_index_has_no_relative_links(pure: Path) -> None:
    text = metadata(pure, "METADATA").get_payload()
    assert "pip install" in text
    assert "docs/training.md" in text
    assert "](" not in text.replace("](http", "")
