"""The graph convolution of NGCF (Wang, He, Wang, Feng, Chua, SIGIR 2019), row by row."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prismrec.nn.dropout import dropout
from prismrec.nn.tall import TallLinear, tall_linear


class NGCFLayer(nn.Module):
    """What a node becomes, given itself and what it received; the caller chooses the graph that delivers it.

    With H the nodes, S = Â H what they received, φ LeakyReLU: φ(S W₁ + b₁) + φ((S ⊙ H) W₂ + b₂), then dropout in
    training. Rows do not see each other, so any subset of them may be given; a row needed twice must be given once,
    or it gets two dropout masks.

    Attributes:
        of_sum: W₁ and b₁, initialised as torch's Linear.
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
        """Two linear maps.

        Args:
            width_in: width of H and S.
            width_out: width of the result.
            slope: of LeakyReLU below 0 (the official code: 0.2; LATTICE: 0.01).
            dropout: the share of entries dropped.
            adds_self: S + H instead of S before W₁ (Eq. 7 of the paper), for a graph without self-loops.
            joint: one φ on the sum of both branches (Eq. 7 of the paper, RecBole) instead of one on each.
        """
        super().__init__()
        self.of_sum = TallLinear(width_in, width_out)
        self.of_product = TallLinear(width_in, width_out)
        self.slope, self.dropout, self.adds_self, self.joint = slope, dropout, adds_self, joint

    def forward(self, own: Tensor, received: Tensor) -> Tensor:
        """H and S, both `[n, width_in]`, to the nodes of the next layer `[n, width_out]`, not normalised."""
        summed = received + own if self.adds_self else received
        product = received * own
        if self.joint:
            both = torch.cat([summed, product], 1)  # [n, 2 width_in]
            weight = torch.cat([self.of_sum.weight, self.of_product.weight], 1)  # [width_out, 2 width_in]
            sent = F.leaky_relu_(tall_linear(both, weight, self.of_sum.bias + self.of_product.bias), self.slope)
        else:
            sent = F.leaky_relu_(self.of_sum(summed), self.slope) + F.leaky_relu_(self.of_product(product), self.slope)
        return dropout(sent, self.dropout, self.training)
