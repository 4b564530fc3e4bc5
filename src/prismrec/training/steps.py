"""Training steps, which a GPU records once and then repeats.

A step is some hundred operations, each over before the host has asked for the next. A recorded step (a CUDA graph) is
asked for at once.
"""

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

    def __init__(
        self, step: Callable[[Triplets], None], repeated: Callable[[], None], device: torch.device, *, record: bool
    ) -> None:
        """Nothing is recorded yet.

        Args:
            step: takes a step. From its second call on, until `forget`, it must do the same to the same memory with
                every batch of one size, on the GPU alone.
            repeated: called after each step that was repeated without a call of `step`.
            device: where the batches are.
            record: whether to; on a CPU there is nothing to record with.
        """
        self._step, self._repeated = step, repeated
        self._stream = torch.cuda.Stream(device) if record and device.type == "cuda" else None
        self._called: set[int] = set()
        self._recorded: dict[int, _Recorded] = {}

    def forget(self) -> None:
        """Record anew."""
        self._called.clear()
        self._recorded.clear()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Where all of an epoch has to happen, because nothing can be recorded on the stream that PyTorch begins with.

        What a step does on another stream than the gradients before it cannot be recorded either.
        """
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            yield
        torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)

    def __call__(self, batch: Triplets) -> None:
        """Take one step."""
        size = len(batch)
        if self._stream is None or size not in self._called:
            self._called.add(size)
            self._step(batch)
            return
        if size not in self._recorded:
            self._recorded[size] = self._record(batch)
        else:
            recorded = self._recorded[size]
            for kept, given in zip(_columns(recorded.batch), _columns(batch), strict=True):
                kept.copy_(given)
            self._repeated()
        self._recorded[size].graph.replay()

    def _record(self, batch: Triplets) -> _Recorded:
        torch.cuda.empty_cache()  # a recorded step has memory of its own, as much as those before it needed
        own = Triplets(*(numbers.clone() for numbers in _columns(batch)))
        graph = torch.cuda.CUDAGraph()
        graph.capture_begin()
        self._step(own)
        graph.capture_end()
        return _Recorded(graph, own)


def _columns(batch: Triplets) -> tuple[Tensor, ...]:
    return batch.users, batch.positives, batch.negatives
