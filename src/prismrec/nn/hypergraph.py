"""What the hypergraph models of Xia et al. share (HCCF, SIGIR 2022; SHT, KDD 2022)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class HyperedgeMaps(nn.Module):
    """Maps from hyperedges to hyperedges, C in a row for each layer and side: Λ ← φ(M Λ) + Λ.

    Attributes:
        weight: M `[L, 2, C, H, H]`, each Xavier-uniform; side 0 are the users' hyperedges, side 1 the items'.
        slope: of φ, the leaky ReLU.
    """

    def __init__(self, layers: int, maps: int, hyperedges: int, slope: float) -> None:
        super().__init__()
        bound = math.sqrt(3 / hyperedges)  # √(6 / (H + H))
        self.weight = nn.Parameter(torch.empty(layers, 2, maps, hyperedges, hyperedges).uniform_(-bound, bound))
        self.slope = slope

    def forward(self, layer: int, side: int, messages: Tensor) -> Tensor:
        """Messages on the hyperedges, `[H, d]` to `[H, d]`."""
        for weight in self.weight[layer, side]:
            messages = F.leaky_relu(weight @ messages, self.slope) + messages
        return messages


def hinge(users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Mean of max(0, 1 - u·(i - j)) over the batch; each argument `[B, d]`."""
    return F.relu(1 - (users * (positives - negatives)).sum(1)).mean()


def squares(*weights: Tensor) -> Tensor:
    """Σ ‖θ‖² over whole weights, without ½ and whatever the batch."""
    return torch.stack([weight.square().sum() for weight in weights]).sum()
