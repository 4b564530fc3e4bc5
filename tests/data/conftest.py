"""Folders of input, and the check that one is refused."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from prismrec.cli.data import app
from prismrec.data import load
from prismrec.errors import InputError

Content = str | bytes | np.ndarray | Mapping[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Mapping[str, Content]], Path]:
    """Write files: text, bytes, an array as npy, a mapping of arrays as npz."""

    def write(files: Mapping[str, Content]) -> Path:
        root = tmp_path / "shop"
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str | bytes):
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            elif isinstance(content, np.ndarray):
                np.save(path, content, allow_pickle=True)
            else:
                np.savez(path, **content)
        return root

    return write


@pytest.fixture
def refused() -> Callable[..., None]:
    """Both the library and the command refuse a source, in one line with place, finding and expectation."""

    def check(source: Path, where: str, found: str, expected: str, *flags: str, **options: Any) -> None:
        with pytest.raises(InputError) as refusal:
            load(source, **options)
        error = refusal.value
        assert error.where == str(source / where) if where else str(source)
        assert found in error.found
        assert expected in error.expected
        assert "\n" not in str(error)
        result = CliRunner().invoke(app, ["describe", str(source), *flags])
        assert isinstance(result.exception, InputError), result.output
        assert str(result.exception) == str(error)
        assert not result.stdout

    return check


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets named by PRISMREC_DATA."""
    if not os.environ.get("PRISMREC_DATA"):
        pytest.skip("PRISMREC_DATA does not name a folder of real data")
    return Path(os.environ["PRISMREC_DATA"])
