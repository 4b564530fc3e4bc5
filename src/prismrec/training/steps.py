"""Training steps, which a GPU records once and then repeats.

A step is some hundred operations, each over before the host has asked for the next. A recorded step (a CUDA graph) is
asked for at once.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from prismrec.types import Triplets


class _Recorded(NamedTuple):
    graph: torch.cuda.CUDAGraph
    batch: Triplets
    """What the graph reads: other batches are copied here."""


class Steps:
    """Takes training steps: on a GPU those of a batch size that came before by repeating what was recorded."""

    def __init__(self, device: torch.device, *, record: bool) -> None:
        """Nothing is recorded yet.

        Args:
            device: where the batches are.
            record: whether to; on a CPU there is nothing to record with.
        """
        self._stream = torch.cuda.Stream(device) if record and device.type == "cuda" else None
        self._sizes: set[int] = set()
        self._recorded: dict[int, _Recorded] = {}

    def forget(self) -> None:
        """Record anew."""
        self._sizes.clear()
        self._recorded.clear()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Where all of an epoch has to happen, because nothing can be recorded on the stream that PyTorch begins with.

        Nor can what waits for work on a stream that is not recorded, such as the gradients of the step before.
        """
        if self._stream is None:
            yield
            return
        outside = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(outside)
        with torch.cuda.stream(self._stream):
            yield
        outside.wait_stream(self._stream)

    def take(self, step: Callable[[Triplets], None], batch: Triplets) -> bool:
        """Take a step with a batch; whether by repeating one, without a call of `step`.

        Args:
            step: the same at every call. From the second batch of a size on, until `forget`, it must do the same to the
                same memory with every batch of that size, on the GPU alone.
            batch: for the step.
        """
        size = len(batch)
        if self._stream is None or size not in self._sizes:
            self._sizes.add(size)
            step(batch)
            return False
        repeated = size in self._recorded
        if not repeated:
            self._recorded[size] = _record(step, batch)
        graph, read = self._recorded[size]
        for kept, given in zip(_columns(read), _columns(batch), strict=True):
            kept.copy_(given)
        graph.replay()
        return repeated


def _record(step: Callable[[Triplets], None], batch: Triplets) -> _Recorded:
    torch.cuda.empty_cache()  # a recorded step has memory of its own, as much as those before it needed
    own, graph = Triplets(*map(torch.empty_like, _columns(batch))), torch.cuda.CUDAGraph()
    collects = gc.isenabled()
    gc.disable()  # garbage may be another graph, and giving back its memory would spoil the record
    try:
        graph.capture_begin()
        try:
            step(own)
        finally:
            graph.capture_end()
    finally:
        if collects:
            gc.enable()
    return _Recorded(graph, own)


def _columns(batch: Triplets) -> tuple[Tensor, ...]:
    return batch.users, batch.positives, batch.negatives
