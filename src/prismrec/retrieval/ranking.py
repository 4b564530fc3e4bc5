"""Full ranking: the k best of all items for each user, exact, in blocks of users and of items.

Scores are float32. Higher scores come first, and of equal scores the lower item number.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from numbers import Integral
from queue import Empty, SimpleQueue
from types import NoneType
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from prismrec.errors import InputError, ParameterError, check_list, check_type
from prismrec.ops import block_entries
from prismrec.ops.device import on_cpu
from prismrec.ops.topk import group_shape, top_k_keys, unpack_keys
from prismrec.types import Embeddings, IntArray, Interactions

UserNumbers = Tensor | Sequence[int] | npt.NDArray[np.integer]
Int64Array = npt.NDArray[np.int64]
T = TypeVar("T")

_SCORES_AT_ONCE = 2**20
"""Scores held at a time on a CPU. It is fixed, because the rounding of a matrix product may depend on its shape."""
_LEAST_USERS = 256
"""The fewest users of a block: each block of users reads all items once."""
_LEAST_ITEMS = 4096
"""The fewest items of a block: products with fewer items are slower."""
LONGEST_LIST = 2**31 - 1
"""The largest k."""


class Ranking(NamedTuple):
    """The best items of n users, best first, on the device of the embeddings.

    Attributes:
        items: item numbers, int64 `[n, k]`; -1 if fewer than k candidates remain.
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
    largest_item: float | None = None,
) -> Ranking:
    """The k items with the highest scores for each user; of equal scores the lower item number comes first.

    Args:
        embeddings: users `[U, d]`, items `[I, d]`.
        users: n user numbers, in any order.
        k: length of the lists; may exceed I.
        mask: pairs to leave out.
        block_size: number of users scored at once; None chooses it.
        largest_item: `largest_entry` of the items, if the caller has checked them already.

    Raises:
        InputError: the embeddings contain NaN or inf or may overflow float32, the mask has other numbers of users or
            items, a user number is outside 0..U-1, or k or `block_size` is below 1.
    """
    blocks = map_rankings(
        embeddings, users, k, mask, lambda _, block: block, block_size=block_size, largest_item=largest_item
    )
    if not blocks:
        items = torch.empty(0, k, dtype=torch.int64, device=embeddings.items.device)
        return Ranking(items, items.float())
    return Ranking(torch.cat([block.items for block in blocks]), torch.cat([block.scores for block in blocks]))


def map_rankings(
    embeddings: Embeddings,
    users: UserNumbers,
    k: int,
    mask: Sequence[Interactions],
    use: Callable[[slice, Ranking], T],
    *,
    block_size: int | None = None,
    largest_item: float | None = None,
) -> list[T]:
    """Rank blocks of users and apply a function to each block, so that not all lists are in memory at once.

    Args:
        embeddings: as in `rank`.
        users: as in `rank`.
        k: as in `rank`.
        mask: as in `rank`.
        use: called with the positions of the block within `users`, and its ranking; on a CPU in several threads.
        block_size: as in `rank`.
        largest_item: as in `rank`.

    Returns:
        The results of `use` in the order of the users.

    Raises:
        InputError: as in `rank`.
    """
    _check_embeddings(embeddings, largest_item)
    _check_sizes(embeddings, k, mask, block_size)
    numbers = _checked_users(embeddings, users)
    num_items = len(embeddings.items)
    items = embeddings.items.detach()
    at_once = block_entries(items, _SCORES_AT_ONCE)
    size = block_size or max(at_once // num_items, _LEAST_USERS)  # users of a block
    item_blocks = -(-num_items // max(at_once // size, _LEAST_ITEMS))
    edges = np.linspace(0, num_items, item_blocks + 1).astype(int).tolist()
    masked = [pairs_of_users(numbers, pairs) for pairs in mask]
    job = _Job(embeddings.users.detach(), items, numbers, k, masked, size, edges)
    blocks = [slice(start, min(start + size, len(numbers))) for start in range(0, len(numbers), size)]
    if on_cpu(items):
        return _in_threads(job, blocks, use)
    ranker = _Ranker(job)
    return [use(block, ranker.rank(block)) for block in blocks]


class PairsOfUsers(NamedTuple):
    """The pairs of a list of n users. The i-th user of the list has the items `items[offsets[i]:offsets[i + 1]]`."""

    offsets: Int64Array  # [n + 1]
    items: IntArray

    def of_block(self, block: slice) -> tuple[Int64Array, IntArray]:
        """The pairs of some users of the list: positions within the block `[p]`, and items `[p]`."""
        ends = self.offsets[block.start : block.stop + 1]
        positions = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        return positions, self.items[ends[0] : ends[-1]]


def pairs_of_users(users: Int64Array, pairs: Interactions) -> PairsOfUsers:
    """The pairs of the given users `[n]`, in their order."""
    counts = pairs.user_degrees[users]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    shift = np.repeat(pairs.offsets[users] - offsets[:-1], counts)  # from the position in the result to the pair
    return PairsOfUsers(offsets, pairs.items[shift + np.arange(offsets[-1])])


class _Job(NamedTuple):
    """What all blocks have in common."""

    users: Tensor  # [U, d]
    items: Tensor  # [I, d], of any floating-point type
    numbers: Int64Array  # the users to rank [n]
    k: int
    masked: list[PairsOfUsers]
    size: int  # users of a block
    edges: list[int]  # the items from edges[i] to edges[i + 1] are scored at once


class _Ranker:
    """Ranks blocks of users in the same memory, because clearing new memory would take as long as the product."""

    def __init__(self, job: _Job) -> None:
        self.job = job
        widest = max(last - first for first, last in pairwise(job.edges))
        w, groups = group_shape(widest, job.k)
        rows = min(job.size, len(job.numbers))
        padded = w * groups + w  # a narrower block of items may need more padding, but at most w
        self.buffer = job.items.new_empty(rows * padded, dtype=torch.float32)

    def rank(self, block: slice) -> Ranking:
        """The ranking of a slice of the list of users."""
        job = self.job
        device = job.items.device
        users = job.users[torch.from_numpy(job.numbers[block]).to(device)].float()  # [b, d]
        masked = [pairs.of_block(block) for pairs in job.masked]
        keys = torch.empty(len(users), 0, dtype=torch.int64, device=device)
        for first, last in pairwise(job.edges):
            w, groups = group_shape(last - first, job.k)
            scores = self.buffer[: len(users) * w * groups].view(len(users), w * groups)
            torch.mm(users, job.items[first:last].float().T, out=scores[:, : last - first])
            scores[:, last - first :] = -torch.inf  # padding
            for positions, items in masked:
                here = (items >= first) & (items < last)
                flat = torch.from_numpy(positions[here] * scores.shape[1] + items[here] - first).to(device)
                scores.view(-1).index_fill_(0, flat, -torch.inf)
            keys = top_k_keys(scores.view(len(users), w, groups), first, job.k, keys)
        best_items, best_scores = unpack_keys(keys)
        return Ranking(best_items, best_scores)


def _in_threads(job: _Job, blocks: list[slice], use: Callable[[slice, Ranking], T]) -> list[T]:
    """The results in order. Each thread computes one block at a time.

    This is faster than all threads on one block. It also makes scores independent of the number of threads.
    """
    threads = torch.get_num_threads()
    waiting: SimpleQueue[int] = SimpleQueue()
    for number in range(len(blocks)):
        waiting.put(number)
    results: dict[int, T] = {}

    def work() -> None:
        torch.set_num_threads(1)  # of this thread, and the initial number of threads that start later
        ranker = _Ranker(job)
        while True:
            try:
                number = waiting.get_nowait()
            except Empty:
                return
            results[number] = use(blocks[number], ranker.rank(blocks[number]))

    try:
        if len(blocks) == 1:  # starting a thread would take longer than ranking a few users
            work()
        else:
            with ThreadPoolExecutor(threads) as pool:
                for done in [pool.submit(work) for _ in range(min(threads, len(blocks)))]:
                    done.result()
    finally:
        torch.set_num_threads(threads)
    return [results[number] for number in range(len(blocks))]


def _check_embeddings(embeddings: Embeddings, largest_item: float | None) -> None:
    for rows in (embeddings.users, embeddings.items):
        if not isinstance(rows, Tensor) or rows.is_meta or rows.layout != torch.strided:
            kind = f"a tensor on {rows.device}, {rows.layout}" if isinstance(rows, Tensor) else type(rows).__name__
            raise InputError("embeddings", kind, "dense tensors of PyTorch")
    users, items = embeddings.users.shape, embeddings.items.shape
    if not (len(users) == len(items) == 2 and users[1] == items[1] and items[0]):
        found = f"shapes {list(users)} and {list(items)}"
        raise InputError("embeddings", found, "[U, d] and [I, d] with at least one item")
    largest_user = largest_entry("user", embeddings.users)
    if largest_item is None:
        largest_item = largest_entry("item", embeddings.items)
    if largest_user * largest_item * users[1] > torch.finfo(torch.float32).max:
        found = f"entries up to {max(largest_user, largest_item):.3g}"
        raise InputError("embeddings", found, "scores within the range of float32")


def largest_entry(kind: str, rows: Tensor) -> float:
    """The largest absolute entry of user or item embeddings.

    Raises:
        InputError: an entry is NaN or infinite.
    """
    largest = rows.detach().abs().amax().double().item() if rows.numel() else 0.0
    if not np.isfinite(largest):
        row = int((~rows.isfinite()).any(1).nonzero()[0])
        raise InputError(f"{kind} embeddings, row {row}", "NaN or inf", "finite numbers")
    return largest


def _check_sizes(embeddings: Embeddings, k: int, mask: Sequence[Interactions], block_size: int | None) -> None:
    for pairs in check_list("mask", mask, "a list of prismrec.Interactions"):
        check_counts("mask", pairs, embeddings)
    check_type("k", k, Integral, "a whole number")
    if not 1 <= k <= LONGEST_LIST:
        raise ParameterError("k", str(k), f"a number within 1..{LONGEST_LIST}")
    check_type("block_size", block_size, (Integral, NoneType), "a whole number")
    if block_size is not None and block_size < 1:
        raise ParameterError("block_size", str(block_size), "1 or more")


def _checked_users(embeddings: Embeddings, users: UserNumbers) -> Int64Array:
    numbers = np.asarray(users.cpu() if isinstance(users, Tensor) else users, dtype=np.int64).reshape(-1)
    last = len(embeddings.users) - 1
    if numbers.size and (numbers.min() < 0 or numbers.max() > last):
        raise InputError("user numbers", f"{numbers.min()}..{numbers.max()}", f"numbers within 0..{last}")
    return numbers


def check_counts(name: str, pairs: Interactions, embeddings: Embeddings) -> None:
    """Check that pairs have as many users and items as the embeddings.

    Raises:
        InputError: they do not, or one of them is something else.
    """
    check_type("embeddings", embeddings, Embeddings, "prismrec.Embeddings")
    check_type(name, pairs, Interactions, "prismrec.Interactions")
    users, items = len(embeddings.users), len(embeddings.items)
    if (pairs.num_users, pairs.num_items) != (users, items):
        found = f"{pairs.num_users} users and {pairs.num_items} items"
        raise InputError(name, found, f"{users} and {items} as in the embeddings")
