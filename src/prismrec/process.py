"""Settings of the whole process. The command line applies them; a program that uses the library may apply them too."""

import ctypes
import os
import sys
from pathlib import Path

_TRIM_THRESHOLD = -1
"""M_TRIM_THRESHOLD in glibc's malloc.h."""
_MMAP_MAX = -4
"""M_MMAP_MAX in glibc's malloc.h."""


def retain_freed_memory() -> None:
    """Let malloc keep freed memory instead of returning it to the system.

    A training step allocates the same blocks as the step before. By default, glibc returns large blocks to the system,
    which clears every page again on the next access. Clearing takes up to a quarter of a step, and half of it with
    tables of several hundred megabytes. The setting holds until the process ends. It has no effect with other C
    libraries.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)


def request_large_pages() -> None:
    """Let PyTorch request 2 MB pages for large tensors, as NumPy does by default.

    Embeddings are read row by row in random order. With 4 KB pages, nearly every row of a large table misses the TLB
    and costs a page walk. Call this before PyTorch allocates its first tensor: PyTorch reads the variable once.
    It has no effect on systems without transparent huge pages.
    """
    if Path("/sys/kernel/mm/transparent_hugepage").exists():
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
