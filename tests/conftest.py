"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest
import torch

from prismrec import kernels

# Tests run side by side, one process per core: threads inside each would only fight.
torch.set_num_threads(1)


@pytest.fixture(params=["compiled", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs with the compiled kernels and without them."""
    if request.param == "plain":
        monkeypatch.setattr(kernels, "_library", None)
    elif kernels._library is None:
        pytest.skip("the kernels are not built here; tests/kernels fails if they should be")
    return request.param


@pytest.fixture
def real_data() -> Path:
    """The folder of real data, or a skip that says what is missing."""
    folder = os.environ.get("PRISMREC_DATA")
    if not folder:
        pytest.skip("PRISMREC_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture
def float64():
    """Everything built inside the test is double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
