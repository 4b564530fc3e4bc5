"""The contrast of a node with itself in another view, against all nodes there."""

from torch import Tensor

from prismrec.nn.contrast import info_nce
from prismrec.nn.normalise import unit_rows
from prismrec.nn.rows import merge, take_rows


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
    merged = merge(nodes, len(first))
    anchors, candidates = unit_rows(take_rows(first, merged.rows)), unit_rows(second)
    return info_nce(anchors, candidates, merged.rows, temperature, merged.counts.to(anchors), cosines=True)
