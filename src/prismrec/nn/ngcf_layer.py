"""The graph convolution of NGCF (Wang, He, Wang, Feng, Chua, SIGIR 2019), row by row."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NGCFLayer(nn.Module):
    """What a node becomes, given itself and what it received; the caller chooses the graph that delivers it.

    With H the nodes, S = Â H what they received, φ LeakyReLU:

    - default: φ(S W₁ + b₁) + φ((S ⊙ H) W₂ + b₂), the official code, where S holds a self-loop (`rw_self`);
    - `joint`: φ((S + H) W₁ + b₁ + (S ⊙ H) W₂ + b₂), Eq. 7 of the paper and RecBole, where S holds none (`sym`).

    Dropout follows, in training only. Rows do not see each other, so any subset of them may be given; a row needed
    twice must be given once, or it gets two dropout masks.

    Attributes:
        of_sum: W₁, b₁, initialised as torch's Linear.
        of_product: W₂, b₂, likewise.
    """

    def __init__(
        self, width_in: int, width_out: int, *, slope: float = 0.2, dropout: float = 0.0, joint: bool = False
    ) -> None:
        super().__init__()
        self.of_sum = nn.Linear(width_in, width_out)
        self.of_product = nn.Linear(width_in, width_out)
        self.slope, self.dropout, self.joint = slope, dropout, joint

    def forward(self, own: Tensor, received: Tensor) -> Tensor:
        """H and S, both `[n, width_in]`, to the nodes of the next layer `[n, width_out]`, not normalised."""
        product = received * own
        if self.joint:
            weight = torch.cat([self.of_sum.weight, self.of_product.weight], 1)  # [width_out, 2 width_in]
            both = torch.cat([received + own, product], 1)  # [n, 2 width_in]
            sent = F.leaky_relu(F.linear(both, weight, self.of_sum.bias + self.of_product.bias), self.slope)
        else:
            sent = F.leaky_relu(self.of_sum(received), self.slope) + F.leaky_relu(self.of_product(product), self.slope)
        return F.dropout(sent, self.dropout, self.training)
