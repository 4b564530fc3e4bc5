"""Training steps that a GPU records once and then replays (CUDA graphs).

A step is several hundred operations, each shorter than the host takes to launch the next one. A recorded step is
launched at once.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from prismrec.types import Triplets


class _Recording(NamedTuple):
    graph: torch.cuda.CUDAGraph
    batch: Triplets
    """The memory that the graph reads; each batch is copied into it."""


class StepRecorder:
    """Runs training steps. On a GPU, it records a step at the second batch of a size and replays it from then on."""

    def __init__(self, device: torch.device, *, record: bool) -> None:
        """Start without recordings.

        Args:
            device: the device of the batches.
            record: whether to record on a GPU; a CPU never records.
        """
        self._stream = torch.cuda.Stream(device) if record and device.type == "cuda" else None
        self._seen_sizes: set[int] = set()
        self._recordings: dict[int, _Recording] = {}

    def forget(self) -> None:
        """Drop all recordings."""
        self._seen_sizes.clear()
        self._recordings.clear()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """The stream in which a whole epoch must run.

        PyTorch cannot record its default stream, nor work that waits for another stream, such as the gradients of the
        step before.
        """
        if self._stream is None:
            yield
            return
        outside = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(outside)
        with torch.cuda.stream(self._stream):
            yield
        outside.wait_stream(self._stream)

    def run(self, step: Callable[[Triplets], None], batch: Triplets) -> None:
        """Run a step on a batch, or replay its recording.

        Args:
            step: the same function at every call. From the second batch of a size until `forget`, it must do the same
                work on the same memory for every batch of that size, and only on the GPU.
            batch: the batch.
        """
        size = len(batch)
        if self._stream is None or size not in self._seen_sizes:
            self._seen_sizes.add(size)
            step(batch)
            return
        if size not in self._recordings:
            self._recordings[size] = _record(step, batch)
        graph, memory = self._recordings[size]
        memory.users.copy_(batch.users)
        memory.positives.copy_(batch.positives)
        memory.negatives.copy_(batch.negatives)
        graph.replay()


def is_recording(like: Tensor) -> bool:
    """Whether operations on tensors of this device are being recorded."""
    return like.is_cuda and torch.cuda.is_current_stream_capturing()


def _record(step: Callable[[Triplets], None], batch: Triplets) -> _Recording:
    """Record a step for batches of the size of `batch`; a recording does not run the step."""
    generator = torch.cuda.default_generators[batch.users.device.index]
    state = generator.clone_state()
    torch.cuda.empty_cache()  # a recording allocates memory of its own, as much as a step before it used
    graph = torch.cuda.CUDAGraph()
    memory = Triplets(
        torch.empty_like(batch.users), torch.empty_like(batch.positives), torch.empty_like(batch.negatives)
    )
    gc_was_enabled = gc.isenabled()
    gc.disable()  # collecting another graph would free its memory in the middle of the recording
    try:
        graph.capture_begin()
        try:
            step(memory)
        finally:
            graph.capture_end()
    except BaseException:
        generator.graphsafe_set_state(state)  # PyTorch leaves it in recording mode, in which every draw fails
        raise
    finally:
        if gc_was_enabled:
            gc.enable()
    return _Recording(graph, memory)
