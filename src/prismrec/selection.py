"""The k best of many scores, exact, part by part.

The higher score comes first, and of equal scores the lower item number. Both are packed into one int64 key, so that no
two candidates are equal and there is one order only: that of ascending keys.
"""

import numpy as np
import torch
from torch import Tensor

from prismrec import kernels

NO_ITEM = 0x7F800000 << 32
"""The key of score -inf."""
_LEAST_SCORE = torch.finfo(torch.float32).min
"""A bound above -inf leaves masked items out where fewer than k others are left."""


def runs(num_items: int, k: int) -> tuple[int, int]:
    """How many items w are in a run and how many runs C there are, for `best_keys`: about 4 k runs."""
    w = max(num_items // (4 * min(k, num_items)), 1)
    return w, -(-num_items // w)


def best_keys(scores: Tensor, first: int, k: int, before: Tensor) -> Tensor:
    """The best k of the items found before and of these.

    A partial top-k over all columns costs more than the scores themselves, so a bound comes first: part the items into
    C runs, k or more if there are as many items, and take the best score of each. The k-th best of these is reached by
    k items, so whatever stays below it is out, and so is whatever stays below the k-th best found before. Little more
    than k items per user remain to be sorted, ties included.

    Args:
        scores: float32 `[b, w, C]`, item j at [j // C, j modulo C], those beyond the items -inf; w and C of `runs`.
        first: the number of item 0.
        k: items wanted.
        before: keys of items of lower numbers, ascending, `[b, k]`, or `[b, 0]` if these are the first.

    Returns:
        Keys, int64 `[b, k]`, ascending; `NO_ITEM` where fewer than k items have a score above -inf.
    """
    if kernels.usable(scores):
        keys = torch.full((len(scores), k), NO_ITEM)
        keys[:, : before.shape[1]] = before
        kernels.best_keys(scores.flatten(1), first, keys)
        return keys
    bound = _kth_largest(scores.amax(1), min(k, scores.shape[2])).clamp_(min=_LEAST_SCORE)
    scores = scores.flatten(1)  # [b, w C]
    if before.shape[1]:
        bound = bound.maximum(_scores(before[:, -1:]))
    flat = _positions_from(scores, bound)
    rows = torch.arange(len(scores) + 1, device=flat.device)
    ends = torch.searchsorted(flat, rows * scores.shape[1])
    counts = ends.diff()
    width = max(before.shape[1] + int(counts.max()), k)
    keys = torch.full((len(scores), width), NO_ITEM, device=flat.device)
    keys[:, : before.shape[1]] = before
    to_places = (rows * width + before.shape[1] - ends)[:-1].repeat_interleave(counts, output_size=len(flat))
    to_items = (first - rows * scores.shape[1])[:-1].repeat_interleave(counts, output_size=len(flat))
    bits = (0.0 - scores.view(-1)[flat]).view(torch.int32)  # negated: best first; 0.0 - x has one zero only
    places = torch.arange(len(flat), device=flat.device) + to_places
    keys.view(-1)[places] = torch.add(flat + to_items, _swap_order(bits), alpha=2**32)
    return _sorted(keys)[:, :k]


def items_and_scores(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Item numbers, int64, -1 for `NO_ITEM`; and scores, float32, -inf for `NO_ITEM`."""
    scores = _scores(keys)
    return (keys & 0xFFFFFFFF).masked_fill_(scores == -torch.inf, -1), scores


def _scores(keys: Tensor) -> Tensor:
    return 0.0 - _swap_order((keys >> 32).int()).view(torch.float32)


def _swap_order(bits: Tensor) -> Tensor:
    """From the bits of floats to integers in the same order, or back: sign and magnitude, two's complement."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


# On a CPU numpy selects, searches and sorts several times faster than torch does.


def _kth_largest(values: Tensor, k: int) -> Tensor:
    """`[b, 1]` from `[b, C]`."""
    if values.is_cpu:
        at = values.shape[1] - k
        return torch.from_numpy(np.partition(values.numpy(), at, axis=1)[:, at : at + 1].copy())
    return values.topk(k, sorted=False).values.amin(1, keepdim=True)


def _positions_from(scores: Tensor, bound: Tensor) -> Tensor:
    """Flat positions of the scores that reach the bound of their row."""
    if scores.is_cpu:
        return torch.from_numpy(np.flatnonzero(scores.numpy() >= bound.numpy()))
    return (scores >= bound).view(-1).nonzero().view(-1)


def _sorted(keys: Tensor) -> Tensor:
    return torch.from_numpy(np.sort(keys.numpy(), axis=1)) if keys.is_cpu else keys.sort(1).values
