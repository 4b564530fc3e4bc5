"""InfoNCE within a batch: row b of one matrix belongs to row b of the other, all other rows are its negatives."""

import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.nn.contrast import info_nce


def in_batch_nce(
    anchors: Tensor,
    candidates: Tensor,
    temperature: float,
    hard_negatives: Tensor | None = None,
    *,
    cosines: bool = False,
) -> Tensor:
    """Mean over b of ln Σ_c exp(<a_b, y_c> / τ) - <a_b, y_b> / τ; repeated rows are not masked.

    Args:
        anchors: `[B, d]`.
        candidates: `[B, d]`, row b the positive of anchor b.
        temperature: τ.
        hard_negatives: `[B, d]`; row b is one more candidate of anchor b alone.
        cosines: a promise that all rows have length 1, which saves a pass.
    """
    places = torch.arange(len(anchors), device=anchors.device)
    if hard_negatives is None:
        mean = torch.full_like(anchors[:, 0], 1 / len(anchors))
        return info_nce(anchors, candidates, places, temperature, mean, cosines=cosines)
    own = (anchors * hard_negatives).sum(1, keepdim=True)  # [B, 1]
    return F.cross_entropy(torch.cat([anchors @ candidates.T, own], 1) / temperature, places)
