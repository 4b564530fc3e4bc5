"""Embedding tables with their initial values, drawn from PyTorch's global generator."""

import torch
from torch import nn


def xavier_table(rows: int, width: int) -> nn.Parameter:
    """A table `[rows, width]`, uniform within ±√(6 / (rows + width)) (Glorot and Bengio, 2010).

    The bound shrinks with the number of rows, which changes hinge losses and the gradients of cosines.
    """
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, width)))


def xavier_normal_table(rows: int, width: int) -> nn.Parameter:
    """A table `[rows, width]`, normal with standard deviation √(2 / (rows + width))."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(rows, width)))


def normal_table(rows: int, width: int, std: float = 0.1) -> nn.Parameter:
    """A table `[rows, width]`, normal with the given standard deviation (0.1 in the official code of LightGCN)."""
    return nn.Parameter(nn.init.normal_(torch.empty(rows, width), std=std))
