"""Fixtures for all tests."""

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from prismrec.ops import kernels_available, without_kernels
from prismrec.testing import default_dtype

# Tests run in one process per core, so more threads in each process would only compete.
torch.set_num_threads(1)

# Examples may take long on a busy machine; hypothesis would call that a failure.
settings.register_profile("any-speed", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")


@pytest.fixture(autouse=True)
def memory_limit() -> Iterator[None]:
    """Commands limit the memory of their process, which is the process of the tests if these call them."""
    if sys.platform == "win32":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.fixture(params=["compiled", "plain"])
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs with the compiled kernels and without them."""
    if request.param == "compiled" and not kernels_available():
        pytest.skip("the kernels are not built here; tests/ops/test_kernels.py fails if they should be")
    with without_kernels() if request.param == "plain" else nullcontext():
        yield request.param


@pytest.fixture
def real_data() -> Path:
    """The folder of real data, or a skip that names what is missing."""
    folder = os.environ.get("PRISMREC_DATA")
    if not folder:
        pytest.skip("PRISMREC_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture
def float64() -> Iterator[None]:
    """Everything built inside the test is in double precision."""
    with default_dtype(torch.float64):
        yield
