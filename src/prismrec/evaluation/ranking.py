"""Full ranking: the k best of all items for each user, exact, in blocks of users and of items.

Scores are float32. The higher score comes first, and of equal scores the lower item number.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import prod
from threading import local
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from prismrec.blocks import block_entries
from prismrec.errors import InputError
from prismrec.selection import best_keys, items_and_scores, runs
from prismrec.types import Embeddings, IntArray, Interactions

UserNumbers = Tensor | Sequence[int] | npt.NDArray[np.integer]
Int64Array = npt.NDArray[np.int64]
T = TypeVar("T")

_SCORES_AT_ONCE = 2**20
"""Scores held at a time on a CPU: fixed, because a matrix product may round by its shape."""
_LEAST_USERS, _LEAST_ITEMS = 256, 4096
"""Of a block: the embeddings of all items are read once per block of users, and more items are a faster product."""


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
    """`use(part of the users, their ranking)` for one block of users after the other; lists need not all be kept."""
    numbers = _checked_users(embeddings, users, k, mask, block_size)
    num_items, device = len(embeddings.items), embeddings.items.device
    user_rows, item_rows = embeddings.users.detach(), embeddings.items.detach().float()
    masked = [pairs_of(numbers, pairs) for pairs in mask]
    at_once = block_entries(item_rows, _SCORES_AT_ONCE)
    size = block_size or max(at_once // num_items, _LEAST_USERS)
    parts = -(-num_items // max(at_once // size, _LEAST_ITEMS))
    edges = np.linspace(0, num_items, parts + 1).astype(int).tolist()

    own = local()  # to each thread: clearing fresh memory for every block would take as long as the product

    def work(start: int) -> T:
        part = slice(start, min(start + size, len(numbers)))
        block = user_rows[torch.from_numpy(numbers[part]).to(device)].float()
        hidden = [block_pairs(offsets, items, part) for offsets, items in masked]
        keys = torch.empty(len(block), 0, dtype=torch.int64, device=device)
        for first, last in pairwise(edges):
            shape = len(block), *runs(last - first, k)
            if not hasattr(own, "memory") or len(own.memory) < prod(shape):
                own.memory = torch.empty(prod(shape), device=device)
            in_runs = own.memory[: prod(shape)].view(shape)
            scores = in_runs.flatten(1)
            torch.mm(block, item_rows[first:last].T, out=scores[:, : last - first])
            scores[:, last - first :] = -torch.inf
            for rows, items in hidden:
                here = (items >= first) & (items < last)
                flat = torch.from_numpy(rows[here] * scores.shape[1] + items[here] - first).to(device)
                scores.view(-1).index_fill_(0, flat, -torch.inf)
            keys = best_keys(in_runs, first, k, keys)
        return use(part, Ranking(*items_and_scores(keys)))

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
