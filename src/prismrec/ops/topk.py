"""The exact k best of many scores, one part of the items after another.

Higher scores come first, and of equal scores the lower item number. A score and an item number are packed into one
int64 key, so that no two keys are equal and the best candidates are those with the smallest keys.
"""

import numpy as np
import torch
from torch import Tensor

from prismrec.ops import _kernels

NO_ITEM = 0x7F800000 << 32
"""The key of an absent item, with score -inf."""
_LEAST_SCORE = torch.finfo(torch.float32).min
"""A bound above -inf excludes masked items when fewer than k others remain."""


def group_shape(num_items: int, k: int) -> tuple[int, int]:
    """How `top_k_keys` groups items: w items in each of C groups, with C about 4 k.

    Returns:
        w and C, with w C ≥ num_items.
    """
    w = max(num_items // (4 * min(k, num_items)), 1)
    return w, -(-num_items // w)


def top_k_keys(scores: Tensor, first: int, k: int, before: Tensor) -> Tensor:
    """The best k among some items and the ones found before.

    A partial sort of all scores costs more than computing them, so a bound excludes most items first. The items form
    C ≥ k groups. At least k items reach the k-th best of the group maxima, so no lower score is among the best k.
    Neither is a score below the k-th best found before. Little more than k items per user remain to be sorted, ties
    included.

    Args:
        scores: float32 `[b, w, C]`, with w and C from `group_shape`. Item j of this part is at [j // C, j % C]; padding
            is -inf.
        first: the number of the first item of this part.
        k: length of the lists.
        before: keys of items of lower numbers in ascending order, `[b, k]`, or `[b, 0]` if there are none.

    Returns:
        Keys in ascending order, int64 `[b, k]`; `NO_ITEM` if fewer than k items have a score above -inf.
    """
    if _kernels.usable(scores):
        keys = torch.full((len(scores), k), NO_ITEM)
        keys[:, : before.shape[1]] = before
        _kernels.top_k_keys(scores.flatten(1), first, keys)
        return keys
    bound = _kth_largest(scores.amax(1), min(k, scores.shape[2])).clamp_(min=_LEAST_SCORE)
    scores = scores.flatten(1)  # [b, w C]
    if before.shape[1]:
        bound = bound.maximum(_scores(before[:, -1:]))
    return _merge(scores, _positions_above(scores, bound), first, k, before)


def _merge(scores: Tensor, flat: Tensor, first: int, k: int, before: Tensor) -> Tensor:
    """The k smallest keys among `before` and the scores `[b, n]` at the flat positions `[p]`, which ascend."""
    users, width = scores.shape
    found_before = before.shape[1]
    rows = torch.arange(users + 1, device=flat.device)
    ends = torch.searchsorted(flat, rows * width)
    counts = ends.diff()  # [b]
    room = max(found_before + int(counts.max()), k)
    keys = torch.full((users, room), NO_ITEM, device=flat.device)
    keys[:, :found_before] = before
    # Row r of `keys` takes its candidates after those found before.
    to_column = (rows * room + found_before - ends)[:-1].repeat_interleave(counts, output_size=len(flat))
    to_item = (first - rows * width)[:-1].repeat_interleave(counts, output_size=len(flat))
    bits = (0.0 - scores.view(-1)[flat]).view(torch.int32)  # negated, so the best come first; 0.0 - x has no -0.0
    columns = torch.arange(len(flat), device=flat.device) + to_column
    keys.view(-1)[columns] = torch.add(flat + to_item, _order_preserving(bits), alpha=2**32)
    return _sorted(keys)[:, :k]


def unpack_keys(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Item numbers, int64, -1 for `NO_ITEM`; and scores, float32, -inf for `NO_ITEM`."""
    scores = _scores(keys)
    return (keys & 0xFFFFFFFF).masked_fill_(scores == -torch.inf, -1), scores


def _scores(keys: Tensor) -> Tensor:
    return 0.0 - _order_preserving((keys >> 32).int()).view(torch.float32)


def _order_preserving(bits: Tensor) -> Tensor:
    """Bits of floats to integers in the same order; its own inverse."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


# On a CPU, NumPy selects, searches and sorts several times faster than PyTorch.


def _kth_largest(values: Tensor, k: int) -> Tensor:
    """The k-th largest value of each row, `[b, C]` to `[b, 1]`."""
    if values.is_cpu:
        position = values.shape[1] - k
        return torch.from_numpy(np.partition(values.numpy(), position, axis=1)[:, position : position + 1].copy())
    return values.topk(k, sorted=False).values.amin(1, keepdim=True)


def _positions_above(scores: Tensor, bound: Tensor) -> Tensor:
    """Flat positions of the scores that reach the bound of their row."""
    if scores.is_cpu:
        return torch.from_numpy(np.flatnonzero(scores.numpy() >= bound.numpy()))
    return (scores >= bound).view(-1).nonzero().view(-1)


def _sorted(keys: Tensor) -> Tensor:
    return torch.from_numpy(np.sort(keys.numpy(), axis=1)) if keys.is_cpu else keys.sort(1).values
