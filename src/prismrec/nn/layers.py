"""Layers that several papers use."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prismrec.ops import dropout, linear, project_features


class TallLinear(nn.Linear):
    """`torch.nn.Linear` with a bias, for very many short rows."""

    def forward(self, rows: Tensor) -> Tensor:
        """X Wᵀ + b: `[n, w]` to `[n, d]`."""
        return linear(rows, self.weight, self.bias)


class FeatureLinear(nn.Linear):
    """`torch.nn.Linear` with a bias, for constant features."""

    def forward(self, features: Tensor) -> Tensor:
        """X Wᵀ + b: `[I, F]` to `[I, d]`."""
        return project_features(features, self.weight) + self.bias


class NGCFLayer(nn.Module):
    """The graph convolution of NGCF (Wang, He, Wang, Feng, Chua, SIGIR 2019), node by node.

    With nodes H and the messages that they receive S = Â H, the output is φ(S W₁ + b₁) + φ((S ⊙ H) W₂ + b₂), where φ is
    LeakyReLU, followed by dropout in training. The caller computes S. Nodes do not interact here, so the layer can be
    applied to any of them.

    Attributes:
        of_sum: W₁ and b₁, initialised like `torch.nn.Linear`.
        of_product: W₂ and b₂, likewise.
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        slope: float = 0.2,
        dropout: float = 0.0,
        adds_self: bool = False,
        joint: bool = False,
    ) -> None:
        """Create two linear maps.

        Args:
            width_in: width of H and S.
            width_out: width of the output.
            slope: negative slope of LeakyReLU (official code: 0.2; LATTICE: 0.01).
            dropout: share of entries dropped.
            adds_self: use S + H instead of S before W₁ (Eq. 7 of the paper), for a graph without self-loops.
            joint: apply φ once, to the sum of both branches (Eq. 7 of the paper and RecBole).
        """
        super().__init__()
        self.of_sum = TallLinear(width_in, width_out)
        self.of_product = TallLinear(width_in, width_out)
        self.slope = slope
        self.dropout = dropout
        self.adds_self = adds_self
        self.joint = joint

    def forward(self, own: Tensor, received: Tensor) -> Tensor:
        """H and S, both `[n, width_in]`, to the nodes of the next layer `[n, width_out]`, not normalised."""
        summed = received + own if self.adds_self else received
        product = received * own
        if self.joint:
            both = torch.cat([summed, product], 1)  # [n, 2 width_in]
            weight = torch.cat([self.of_sum.weight, self.of_product.weight], 1)  # [width_out, 2 width_in]
            bias = self.of_sum.bias + self.of_product.bias
            output = F.leaky_relu_(linear(both, weight, bias), self.slope)
        else:
            from_sum = F.leaky_relu_(self.of_sum(summed), self.slope)  # [n, width_out]
            from_product = F.leaky_relu_(self.of_product(product), self.slope)
            output = from_sum + from_product
        return dropout(output, self.dropout, self.training)


class AttentionFusion(nn.Module):
    """Σ_m α^m z^m with α = softmax over m of q·tanh(W^m z^m + b), a weight per row and modality.

    MICRO (Zhang et al., TKDE 2023) has one map W for all modalities, LUDP (Lei et al., TOMM 2023, Eqs. 6-8) one for
    each.

    Attributes:
        maps: W, `[d, d]`: one, or one per modality.
        bias: b, `[d]`.
        query: q, `[d]`.
    """

    def __init__(self, width: int, maps: int = 1) -> None:
        """All weights start like those of `torch.nn.Linear`: uniform within ±1/√d.

        Args:
            width: d.
            maps: 1, or M for one map per modality.
        """
        super().__init__()
        bound = width**-0.5
        self.maps = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(maps))
        self.bias = nn.Parameter(nn.init.uniform_(torch.empty(width), -bound, bound))
        self.query = nn.Parameter(nn.init.uniform_(torch.empty(width), -bound, bound))

    def weights(self, views: Sequence[Tensor]) -> Tensor:
        """α `[n, M]` for the rows of each modality, M × `[n, d]`."""
        mapped = [self.maps[m % len(self.maps)](view) for m, view in enumerate(views)]  # M × [n, d]; one map serves all
        logits = [torch.tanh(view + self.bias) @ self.query for view in mapped]  # M × [n]
        return torch.stack(logits, 1).softmax(1)

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """The fused rows `[n, d]` for the rows of each modality, M × `[n, d]`."""
        weights = self.weights(views).unsqueeze(2)  # [n, M, 1]
        stacked = torch.stack(list(views), 1)  # [n, M, d]
        return (weights * stacked).sum(1)


class HyperedgeMaps(nn.Module):
    """C maps between hyperedges for each layer and side, applied in sequence: Λ ← φ(M Λ) + Λ, where φ is LeakyReLU.

    Used by HCCF (Xia et al., SIGIR 2022) and SHT (Xia et al., KDD 2022).

    Attributes:
        weight: M `[L, 2, C, H, H]`, each Xavier-uniform; side 0 has the users' hyperedges, side 1 the items'.
        slope: negative slope of φ.
    """

    def __init__(self, layers: int, maps: int, hyperedges: int, slope: float) -> None:
        """Draw the weights.

        Args:
            layers: L.
            maps: C.
            hyperedges: H.
            slope: negative slope of φ.
        """
        super().__init__()
        bound = math.sqrt(3 / hyperedges)  # √(6 / (H + H))
        self.weight = nn.Parameter(torch.empty(layers, 2, maps, hyperedges, hyperedges).uniform_(-bound, bound))
        self.slope = slope

    def forward(self, layer: int, side: int, messages: Tensor) -> Tensor:
        """Messages Λ on the hyperedges of one layer and side, `[H, d]` to `[H, d]`."""
        for weight in self.weight[layer, side]:
            messages = F.leaky_relu(weight @ messages, self.slope) + messages
        return messages
