"""The contrast of a node with itself in another view, against all nodes there."""

import torch.nn.functional as F
from torch import Tensor

from prismrec.nn.contrast import info_nce


def view_contrast(first: Tensor, second: Tensor, nodes: Tensor, temperature: float) -> Tensor:
    """InfoNCE of cosines, summed over the nodes of a batch: Σ_b ln Σ_n exp(s_bn) - s_bb.

    s_bn = cos(first_b, second_n) / τ. A node that occurs in the batch several times is computed once and counts as
    often.

    Args:
        first: the view of the anchors, `[N, d]`.
        second: the view of the candidates, `[N, d]`.
        nodes: int64 `[B]`, the rows of `first` that are anchors.
        temperature: τ.
    """
    rows, counts = nodes.unique(return_counts=True)
    anchors, candidates = F.normalize(first[rows], dim=1), F.normalize(second, dim=1)
    return info_nce(anchors, candidates, rows, temperature, counts.to(anchors))
