"""Workers on a Ray cluster: results, errors, and workers that die."""

import math
import os
from collections.abc import Iterator

import pytest

from prismrec.cluster import LostWorkerError, RayWorkers


@pytest.fixture(scope="module")
def ray() -> Iterator[object]:
    """A Ray instance that the program has started itself."""
    module = pytest.importorskip("ray", reason="needs prismrec[ray]")
    module.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield module
    module.shutdown()


def test_tasks_run_on_as_many_workers_as_allowed_and_the_instance_stays(ray: object) -> None:
    with RayWorkers(math.sqrt, 5) as workers:
        results, waiting, most = {}, [1.0, 4.0, 9.0, 16.0], 0
        while waiting or workers.busy:
            while waiting and workers.free:
                workers.start(waiting.pop())
            most = max(most, workers.busy)
            task, result = workers.wait()
            results[task] = result
    assert results == {1.0: 1.0, 4.0: 2.0, 9.0: 3.0, 16.0: 4.0}
    assert most == 2  # the cluster has two cores
    assert ray.is_initialized()


def test_an_error_is_raised_as_it_was_and_the_worker_lives(ray: object) -> None:
    with RayWorkers(math.sqrt, 1) as workers:
        workers.start(-1.0)
        with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
            workers.wait()
        workers.start(4.0)
        assert workers.wait() == (4.0, 2.0)


def test_a_worker_that_dies_is_reported_and_replaced(ray: object) -> None:
    with RayWorkers(os._exit, 1) as workers:
        for task in (3, 4):
            workers.start(task)
            found, result = workers.wait()
            assert found == task
            assert isinstance(result, LostWorkerError)
            assert workers.free
