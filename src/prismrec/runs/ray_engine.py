"""Blocks of users on a Ray cluster: each worker holds the run once and returns tables."""

import os
from collections.abc import Iterator

import polars as pl

from prismrec.errors import ParameterError
from prismrec.runs.bulk import BulkRequest, block_table
from prismrec.runs.run import Run


class _Worker:
    """A process that ranks blocks on one core."""

    def __init__(self, run: Run, request: BulkRequest) -> None:
        import torch

        torch.set_num_threads(1)
        self._run = run
        self._request = request

    def table(self, block: int) -> tuple[int, pl.DataFrame]:
        """The lists of one block of users."""
        return block, block_table(self._run, self._request, block)


def map_blocks(run: Run, request: BulkRequest, blocks: list[int]) -> Iterator[tuple[int, pl.DataFrame]]:
    """The tables of blocks in the order in which they are ready.

    Args:
        run: sent to each worker.
        request: what to recommend.
        blocks: their numbers.

    Raises:
        ParameterError: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray.util import ActorPool
    except ImportError as error:
        raise ParameterError("engine", "'ray', which is not installed", "pip install 'prismrec[ray]'") from error
    started = not ray.is_initialized()
    if started and os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
    elif started:
        ray.init(include_dashboard=False, log_to_driver=False)
    try:
        shared = ray.put(run)
        workers = min(int(ray.cluster_resources().get("CPU", 1)), max(len(blocks), 1))
        actor = ray.remote(num_cpus=1)(_Worker)
        pool = ActorPool([actor.remote(shared, request) for _ in range(workers)])
        yield from pool.map_unordered(lambda worker, block: worker.table.remote(block), blocks)
    finally:
        if started:
            ray.shutdown()
