"""Why an item is recommended: what each item of a history adds to the score, and how the two resemble each other.

Letters: h items of a history, t recommended items, d embedding width.
"""

import numpy as np
import torch
from torch import Tensor

from prismrec.retrieval.newcomers import Newcomers
from prismrec.retrieval.ranking import Int64Array
from prismrec.types import Interactions

_ROWS_AT_ONCE = 4096


def contributions(newcomers: Newcomers, history: Int64Array, targets: Tensor, num_items: int) -> Tensor:
    """What each item of a history adds to the scores of items, `[t, h]`.

    If the user vector is linear in the history, the contributions add up to the score. Otherwise a contribution is the
    difference that leaving out the item makes.

    Args:
        newcomers: makes the user vector of the history.
        history: item numbers `[h]`.
        targets: vectors of the recommended items `[t, d]`.
        num_items: I.
    """
    h = len(history)
    everything = Interactions.from_pairs(np.zeros(h), history, 1, num_items)
    whole = newcomers.embed_users(everything)  # [1, d]
    if h == 1:
        return targets @ whole.T
    if newcomers.linear:
        single = Interactions.from_pairs(np.arange(h), history, h, num_items)
        parts = newcomers.embed_users(single)  # [h, d]
        total = parts.sum(0)
        factor = total @ whole[0] / (total @ total).clamp(min=torch.finfo(torch.float32).tiny)
        return targets @ (factor * parts).T
    kept = ~np.eye(h, dtype=np.bool_)
    users, positions = np.nonzero(kept)
    without = Interactions.from_pairs(users, history[positions], h, num_items)
    return targets @ (whole - newcomers.embed_users(without)).T


def likeness(features: Tensor, history: Int64Array, targets: Int64Array) -> tuple[Tensor, Tensor]:
    """How the items of a history resemble recommended items by one modality.

    Args:
        features: rows of length 1, `[I, F]`; zero for an item without the modality.
        history: item numbers `[h]`.
        targets: item numbers `[t]`.

    Returns:
        Cosines `[t, h]`, and the share of all items whose cosine is smaller `[t, h]`; NaN where either item lacks the
        modality. The share compares modalities, whose cosines differ in scale.
    """
    cosines = torch.empty(len(targets), len(history))
    shares = torch.empty(len(targets), len(history))
    clicked = torch.from_numpy(history)
    for row, target in enumerate(targets):
        wanted = features[target].float()
        similar = torch.cat([block.float() @ wanted for block in features.split(_ROWS_AT_ONCE)])  # [I]
        cosines[row] = similar[clicked]
        order = similar.sort().values
        shares[row] = torch.searchsorted(order, cosines[row]) / len(order)
    lacks_target = (features[torch.from_numpy(targets)] == 0).all(1)  # [t]
    lacks_clicked = (features[clicked] == 0).all(1)  # [h]
    absent = lacks_target[:, None] | lacks_clicked
    return cosines.clamp(-1, 1).masked_fill(absent, torch.nan), shares.masked_fill(absent, torch.nan)
