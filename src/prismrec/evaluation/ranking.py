"""Full ranking: the k best of all items for each user, exact, in blocks of users.

Scores are float32. The higher score comes first, and of equal scores the lower item number. Both are packed
into one int64 key, so that no two candidates are equal and there is one order only.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from prismrec.errors import InputError
from prismrec.types import Embeddings, IntArray, Interactions

UserNumbers = Tensor | Sequence[int] | npt.NDArray[np.integer]
Int64Array = npt.NDArray[np.int64]
T = TypeVar("T")

SCORES_AT_ONCE = {"cpu": 2**21, "cuda": 2**26}
"""Scores held at a time where no block size is given; fixed, because a matrix product may round by its shape."""
_LEAST_USERS = 16
"""Yet never fewer users than that: the embeddings of all items are read once per block."""


class Ranking(NamedTuple):
    """The best items of n users, best first, on the device of the embeddings.

    Attributes:
        items: item numbers, int64 `[n, k]`; -1 where fewer than k candidates remain.
        scores: float32 `[n, k]`; -inf beside each -1.
    """

    items: Tensor
    scores: Tensor


def rank(
    embeddings: Embeddings,
    users: UserNumbers,
    k: int,
    mask: Sequence[Interactions] = (),
    *,
    block_size: int | None = None,
) -> Ranking:
    """The k items of highest score for each given user; of equal scores the lower item number comes first.

    Args:
        embeddings: users `[U, d]`, items `[I, d]`.
        users: n user numbers, in any order.
        k: length of the lists; may exceed I.
        mask: pairs that must not be in a list.
        block_size: users scored at once.

    Raises:
        InputError: the embeddings hold NaN or inf or may overflow float32, the mask counts other users or items,
            a user number is outside 0..U-1, or k or `block_size` is below 1.
    """
    blocks = map_blocks(embeddings, users, k, mask, lambda _, block: block, block_size=block_size)
    device = embeddings.items.device
    items, scores = torch.empty(0, k, dtype=torch.int64, device=device), torch.empty(0, k, device=device)
    return Ranking(
        torch.cat([items, *(block.items for block in blocks)]),
        torch.cat([scores, *(block.scores for block in blocks)]),
    )


def map_blocks(
    embeddings: Embeddings,
    users: UserNumbers,
    k: int,
    mask: Sequence[Interactions],
    use: Callable[[slice, Ranking], T],
    *,
    block_size: int | None = None,
) -> list[T]:
    """`use(part of the users, their ranking)` for one block of users after the other; lists need not all be kept.

    A partial top-k over all I columns costs more than the scores themselves, so a bound comes first: part the
    items into C ≥ k runs and take the best score of each. The k-th best of these is reached by k items, so
    whatever stays below it is out. Little more than k items per user remain to be sorted, ties included.
    """
    numbers = _checked_users(embeddings, users, k, mask, block_size)
    num_items, device = len(embeddings.items), embeddings.items.device
    user_rows, item_rows = embeddings.users.detach(), embeddings.items.detach().float()
    kept = min(k, num_items)
    w = max(num_items // (4 * kept), 1)  # items in a run; item j is in run j modulo C
    C = -(-num_items // w)
    masked = [pairs_of(numbers, pairs) for pairs in mask]
    size = block_size or max(SCORES_AT_ONCE.get(device.type, 2**21) // num_items, _LEAST_USERS)

    def work(start: int) -> T:
        part = slice(start, min(start + size, len(numbers)))
        block = user_rows[torch.from_numpy(numbers[part]).to(device)].float()
        scores = torch.empty(len(block), w * C, device=device)
        torch.mm(block, item_rows.T, out=scores[:, :num_items])
        scores[:, num_items:] = -torch.inf
        for offsets, items in masked:
            rows, hidden = block_pairs(offsets, items, part)
            flat = torch.from_numpy(rows * (w * C) + hidden).to(device)
            scores.view(-1).index_fill_(0, flat, -torch.inf)
        bound = _kth_largest(scores.view(-1, w, C).amax(1), kept)
        # A bound above -inf leaves masked items out where fewer than k others are left.
        candidates = _positions_from(scores, bound.clamp_(min=torch.finfo(torch.float32).min))
        return use(part, _ordered(candidates, scores, k))

    starts = range(0, len(numbers), size)
    return _in_threads(work, starts) if device.type == "cpu" else [work(start) for start in starts]


def _in_threads(work: Callable[[int], T], starts: range) -> list[T]:
    """The results in order, one block per thread at a time.

    That is faster than all threads on one block, and a score does not depend on the number of threads.
    """
    threads = torch.get_num_threads()
    try:
        # In a worker this sets the worker's own number, and the one that threads to come begin with.
        with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
            return list(pool.map(work, starts))
    finally:
        torch.set_num_threads(threads)


def pairs_of(users: Int64Array, pairs: Interactions) -> tuple[Int64Array, IntArray]:
    """The pairs of n users in the order of these: `items[offsets[i]:offsets[i + 1]]` belong to `users[i]`.

    Returns:
        offsets `[n + 1]` and items.
    """
    counts = pairs.user_degrees[users]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return offsets, pairs.items[np.repeat(pairs.offsets[users] - offsets[:-1], counts) + np.arange(offsets[-1])]


def block_pairs(offsets: Int64Array, items: IntArray, part: slice) -> tuple[Int64Array, IntArray]:
    """Rows (from 0 within the part) and items of the pairs of one part of the users in `pairs_of`."""
    ends = offsets[part.start : part.stop + 1]
    return np.repeat(np.arange(len(ends) - 1), np.diff(ends)), items[ends[0] : ends[-1]]


def _checked_users(
    embeddings: Embeddings, users: UserNumbers, k: int, mask: Sequence[Interactions], block_size: int | None
) -> Int64Array:
    shapes = embeddings.users.shape, embeddings.items.shape
    if not (len(shapes[0]) == len(shapes[1]) == 2 and shapes[0][1] == shapes[1][1] and shapes[1][0]):
        found = " and ".join(str(list(shape)) for shape in shapes)
        raise InputError("embeddings", f"shapes {found}", "[U, d] and [I, d] with at least one item")
    largest = []
    for name, side in (("user", embeddings.users), ("item", embeddings.items)):
        largest.append(side.detach().abs().amax().double().item() if side.numel() else 0.0)
        if not np.isfinite(largest[-1]):
            row = int((~side.isfinite()).any(1).nonzero()[0])
            raise InputError(f"{name} embeddings, row {row}", "NaN or inf", "finite numbers")
    if largest[0] * largest[1] * shapes[0][1] > torch.finfo(torch.float32).max:
        raise InputError("embeddings", f"entries up to {max(largest):.3g}", "scores within float32")
    for pairs in mask:
        check_counts("mask", pairs, embeddings)
    for name, value in (("k", k), ("block_size", block_size)):
        if value is not None and value < 1:
            raise InputError(name, str(value), "1 or more")
    numbers = np.asarray(users.cpu() if isinstance(users, Tensor) else users, dtype=np.int64).reshape(-1)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= shapes[0][0]):
        raise InputError("user numbers", f"{numbers.min()}..{numbers.max()}", f"numbers within 0..{shapes[0][0] - 1}")
    return numbers


def check_counts(name: str, pairs: Interactions, embeddings: Embeddings) -> None:
    """Refuse pairs that count other users or items than the embeddings.

    Raises:
        InputError: they do.
    """
    counts = (pairs.num_users, pairs.num_items)
    expected = (len(embeddings.users), len(embeddings.items))
    if counts != expected:
        raise InputError(
            name, "{} users and {} items".format(*counts), "{} and {} as in the embeddings".format(*expected)
        )


def _ordered(flat: Tensor, scores: Tensor, k: int) -> Ranking:
    """The k best of the candidates at these ascending positions of the flattened scores `[b, width]`."""
    rows = flat // scores.shape[1]
    counts = torch.bincount(rows, minlength=len(scores))
    slots = torch.arange(len(flat), device=flat.device) - (counts.cumsum(0) - counts)[rows]
    bits = (0.0 - scores.view(-1)[flat]).view(torch.int32)  # negated: best first; 0.0 - x has one zero only
    keys = torch.full((len(scores), max(int(counts.max()), k)), _NO_ITEM, device=flat.device)
    keys[rows, slots] = torch.add(flat - rows * scores.shape[1], _swap_order(bits), alpha=2**32)
    keys = _sorted(keys)[:, :k]
    best = 0.0 - _swap_order((keys >> 32).int()).view(torch.float32)
    return Ranking((keys & 0xFFFFFFFF).masked_fill_(best == -torch.inf, -1), best)


_NO_ITEM = 0x7F800000 << 32  # the key of score -inf


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
