"""Attention over modalities, row by row."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AttentionFusion(nn.Module):
    """Σ_m α^m z^m with α = softmax over m of q·tanh(W^m z^m + b), a weight per row and modality.

    MICRO (Zhang et al., TKDE 2023) has one map for all modalities, LUDP (Lei et al., TOMM 2023, Eqs. 6-8) one each.

    Attributes:
        maps: W, `[d, d]`: one, or one per modality.
        bias: b, `[d]`.
        query: q, `[d]`.
    """

    def __init__(self, width: int, maps: int = 1) -> None:
        """All weights start like those of torch's Linear: uniform within ±1/√d.

        Args:
            width: d.
            maps: 1, or M for a map of its own for each modality.
        """
        super().__init__()
        bound = width**-0.5
        self.maps = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(maps))
        self.bias = nn.Parameter(nn.init.uniform_(torch.empty(width), -bound, bound))
        self.query = nn.Parameter(nn.init.uniform_(torch.empty(width), -bound, bound))

    def weights(self, views: Sequence[Tensor]) -> Tensor:
        """α `[n, M]`, for the modalities' rows `[n, d]` each."""
        mapped = [self.maps[m % len(self.maps)](view) for m, view in enumerate(views)]
        return torch.stack([torch.tanh(view + self.bias) @ self.query for view in mapped], 1).softmax(1)

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """The fused rows `[n, d]`, for the modalities' rows `[n, d]` each."""
        return (self.weights(views).unsqueeze(2) * torch.stack(list(views), 1)).sum(1)
