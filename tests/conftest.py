"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest
import torch

# Tests run side by side, one process per core: threads inside each would only fight.
torch.set_num_threads(1)


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
