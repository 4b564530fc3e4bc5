"""How much to hold of a matrix that is too large to be held whole."""

from torch import Tensor

_ON_GPU = 1 << 24
"""64 MB in float32. A GPU is idle at the beginning and the end of whatever it does, so it should do much at once."""


def block_entries(like: Tensor, on_cpu: int) -> int:
    """Numbers to hold at once where a tensor is: on a CPU what suits its caches, as whoever asks has measured."""
    return on_cpu if like.is_cpu else _ON_GPU
