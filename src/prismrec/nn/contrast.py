"""Contrastive losses that several papers use, on top of InfoNCE."""

import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.ops import distinct_rows, info_nce, take_rows, unit_rows


def view_contrast(first: Tensor, second: Tensor, nodes: Tensor, temperature: float) -> Tensor:
    """InfoNCE by cosine of the nodes of a batch in one view, with all nodes of another view as candidates.

    The loss is Σ_b (ln Σ_n exp(s_bn) - s_bb) with s_bn = cos(first_b, second_n) / τ. A node that the batch repeats is
    computed once and counts as often as it occurs.

    Args:
        first: the view of the anchors, `[N, d]`.
        second: the view of the candidates, `[N, d]`.
        nodes: the anchors, int64 `[B]`.
        temperature: τ.
    """
    distinct = distinct_rows(nodes, len(first))
    anchors = unit_rows(take_rows(first, distinct.rows))  # [n, d]
    candidates = unit_rows(second)  # [N, d]
    return info_nce(anchors, candidates, distinct.rows, temperature, distinct.counts.to(anchors), cosines=True)


def in_batch_info_nce(
    anchors: Tensor,
    candidates: Tensor,
    temperature: float,
    hard_negatives: Tensor | None = None,
    *,
    cosines: bool = False,
) -> Tensor:
    """InfoNCE within a batch: row b of the candidates is the positive of anchor b, all others are its negatives.

    The loss is the mean over b of ln Σ_c exp(<a_b, y_c> / τ) - <a_b, y_b> / τ. A candidate equal to the positive still
    counts as a negative.

    Args:
        anchors: `[B, d]`.
        candidates: `[B, d]`.
        temperature: τ.
        hard_negatives: `[B, d]`; row b is a further candidate of anchor b alone.
        cosines: promises that all rows have length 1, which saves a pass over them; not used with hard negatives.
    """
    positives = torch.arange(len(anchors), device=anchors.device)
    if hard_negatives is None:
        mean = torch.full_like(anchors[:, 0], 1 / len(anchors))
        return info_nce(anchors, candidates, positives, temperature, mean, cosines=cosines)
    hard = (anchors * hard_negatives).sum(1, keepdim=True)  # [B, 1]
    products = torch.cat([anchors @ candidates.T, hard], 1)  # [B, B + 1]
    return F.cross_entropy(products / temperature, positives)
