"""Dropout from uniform numbers: on a CPU two fifths of the time of PyTorch's own, whose Bernoulli numbers are slow."""

import torch
import torch.nn.functional as F
from torch import Tensor


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """Each entry 0 with probability `share`, else divided by 1 - `share`; outside training x itself."""
    if not training or share == 0:
        return x
    if not x.is_cpu:
        return F.dropout(x, share)
    # Where the mask has the type of x, neither the product nor its gradient converts it first.
    return x * torch.rand_like(x).ge_(share).div_(1 - share)
