"""Questions about the device. Only `prismrec.ops` asks them, so the rest of the package has no code for one device."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Literal

import torch
from torch import Tensor

from prismrec.errors import ParameterError

DeviceName = Literal["auto", "cpu", "cuda"]

_GPU_BLOCK = 1 << 24
"""64 MB in float32. A GPU idles at the start and end of every operation, so its operations should be large."""


def pick_device(name: DeviceName) -> torch.device:
    """The device that a setting names; `auto` is a GPU if PyTorch finds one.

    Raises:
        ParameterError: `cuda` without a GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ParameterError("device", "'cuda'", "'cpu' or 'auto': PyTorch finds no GPU here")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def synchronise() -> None:
    """Wait until the GPU, if there is one, has finished its queued work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def block_entries(like: Tensor, on_cpu: int) -> int:
    """The number of matrix entries to hold at once.

    Args:
        like: a tensor on the device that computes.
        on_cpu: the number for a CPU, which the caller fits to the caches.
    """
    return on_cpu if like.is_cpu else _GPU_BLOCK


def fingerprint(x: Tensor) -> Tensor:
    """A small tensor that differs between tensors of different values; compare two with `torch.equal`.

    On a CPU it is a hash. On a GPU, where hashing would stall the host, it is `x` itself.
    """
    if not x.is_cpu:
        return x
    return torch.frombuffer(bytearray(blake2b(x.contiguous().numpy().data).digest()), dtype=torch.uint8)


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Treat numbers below 1e-38 as zero in this thread, and in threads that start inside the block.

    Late in training, such numbers occur in softmaxes and in the moments of Adam. Processors are many times slower with
    them: an epoch of SLMRec takes five times as long.
    """
    # PyTorch has no function that returns the current mode, but Python's own arithmetic in this thread reveals it.
    flushed_before = sys.float_info.min / 2 == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)


@contextmanager
def preserve_rng(device: torch.device | None = None) -> Iterator[None]:
    """Restore PyTorch's global random generators after the block, so that a caller's own draws are not disturbed."""
    with torch.random.fork_rng([device] if device is not None and device.type == "cuda" else []):
        yield


def on_cpu(x: Tensor) -> bool:
    """Whether the tensor is on the CPU."""
    return x.is_cpu
