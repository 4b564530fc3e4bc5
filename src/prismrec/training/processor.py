"""How the processor, its memory and the C library are set while training on a CPU."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_… of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let malloc keep what a step frees for the next one, which allocates the same again.

    By default glibc hands large blocks back to the system, which clears each page anew when it is next touched: up to a
    quarter of a step, and half of it where tables are hundreds of megabytes large. This holds for the rest of the
    process; with another C library nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)


def ask_for_large_pages() -> None:
    """Let PyTorch ask for pages of 2 MB wherever it allocates as much, as NumPy does by itself.

    Embeddings are read row by row at random. Where their tables are larger than what the processor remembers of its
    page table, each row on a page of 4 KB is looked up there first. To be called before PyTorch allocates anything,
    which is when it reads its variable; later, and where the kernel knows no such pages, nothing happens.
    """
    if Path("/sys/kernel/mm/transparent_hugepage").exists():
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


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
