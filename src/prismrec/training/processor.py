"""How the processor and the C library are set while training on a CPU."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_… of glibc's malloc.h
_MOST_KEPT = 1 << 30


def keep_freed_memory() -> None:
    """Let malloc keep up to 1 GB of what a step frees for the next one, which allocates the same again.

    By default glibc hands large blocks back to the system, which clears each page anew when it is next touched: up to a
    quarter of a step. This holds for the rest of the process; with another C library nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _MOST_KEPT)
        mallopt(_TRIM_THRESHOLD, _MOST_KEPT)


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """In the block, numbers below 1e-38 are 0 in this thread and in those it starts.

    Late in training they turn up in softmaxes and in Adam's moments, and the processor takes many times as long for
    each: an epoch of SLMRec five times.
    """
    # PyTorch cannot be asked, but Python's numbers are those of the same thread.
    flushed_before = sys.float_info.min / 2 == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)
