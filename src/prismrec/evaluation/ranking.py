"""Full ranking: the k best of all items for each user, exact, in blocks of users.

Scores are float32. The higher score comes first, and of equal scores the lower item number. Both are packed into
one int64 key, so no two candidates are equal and a partial top-k has one answer only.
"""

from collections.abc import Iterator, Sequence
from math import isqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from prismrec.errors import InputError
from prismrec.types import Embeddings, Interactions

UserNumbers = Tensor | Sequence[int] | npt.NDArray[np.integer]
Int64Array = npt.NDArray[np.int64]

SCORES_AT_ONCE = {"cpu": 2**22, "cuda": 2**26}
"""Scores held at a time where no block size is given; fixed, because a matrix product may round by its shape."""


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
    device = embeddings.items.device
    blocks = list(rank_blocks(embeddings, users, k, mask, block_size=block_size))
    items, scores = torch.empty(0, k, dtype=torch.int64, device=device), torch.empty(0, k, device=device)
    return Ranking(
        torch.cat([items, *(b.items for b in blocks)]), torch.cat([scores, *(b.scores for b in blocks)])
    )


def rank_blocks(
    embeddings: Embeddings,
    users: UserNumbers,
    k: int,
    mask: Sequence[Interactions] = (),
    *,
    block_size: int | None = None,
) -> Iterator[Ranking]:
    """`rank`, one block of users after the other, so that memory holds one block only.

    The top-k of a block takes two steps. The items are cut into C runs of w neighbouring numbers. The k best runs,
    each judged by its best item, hold the k best items, for an item of any other run is beaten by those k. So only
    k·w candidates are left to order. Item c·w + r stands in column r·C + c: the maxima of all runs are then
    elementwise maxima of w contiguous rows.
    """
    numbers = _checked_users(embeddings, users, k, mask, block_size)
    num_items, device = len(embeddings.items), embeddings.items.device
    kept = min(k, num_items)
    w = max(isqrt(num_items // kept), 1)
    C = -(-num_items // w)
    item = torch.arange(C * w, device=device).view(C, w).T.reshape(-1)  # [w·C], the item in each column
    columns = embeddings.items.detach().float()[item.clamp(max=num_items - 1)].T  # [d, w·C]
    surplus = (item >= num_items).nonzero().view(-1)
    offsets, masked = pairs_of(numbers, mask)
    masked = masked % w * C + masked // w

    size = block_size or max(SCORES_AT_ONCE.get(device.type, 2**22) // num_items, 1)
    for start in range(0, len(numbers), size):
        block = numbers[start : start + size]
        scores = embeddings.users.detach()[torch.from_numpy(block).to(device)].float() @ columns  # [b, w·C]
        scores.index_fill_(1, surplus, -torch.inf)
        hidden = flat_positions(offsets[start : start + size + 1], masked, C * w)
        scores.view(-1).index_fill_(0, torch.from_numpy(hidden).to(device), -torch.inf)
        scores = scores.view(len(block), w, C)
        runs = _numbers(_best(_keys(scores.amax(1), torch.arange(C, device=device)), kept))[
            :, None
        ]  # [b, 1, k]
        within = torch.arange(w, device=device)[:, None]  # [w, 1]
        candidates = _keys(scores.gather(2, runs.expand(-1, w, -1)), runs * w + within)  # [b, w, k]
        yield _ranking(_best(candidates.flatten(1), kept), k)


def pairs_of(users: Int64Array, pairs: Sequence[Interactions]) -> tuple[Int64Array, Int64Array]:
    """The items of each of n users over several sets of pairs: `items[offsets[i]:offsets[i + 1]]` belong to users[i].

    Returns:
        offsets `[n + 1]` and items, an item twice where two sets hold the pair.
    """
    starts = np.stack([p.offsets[users] for p in pairs], 1) if pairs else np.zeros((len(users), 0), np.int64)
    counts = np.stack([p.user_degrees[users] for p in pairs], 1) if pairs else starts
    shift = np.cumsum([0, *(len(p) for p in pairs)])[:-1]
    ends = np.cumsum(counts)
    where = np.repeat((starts + shift).reshape(-1) - ends + counts.reshape(-1), counts.reshape(-1))
    items = np.concatenate([np.empty(0, np.int64), *(p.items for p in pairs)])[where + np.arange(len(where))]
    return np.concatenate([[0], np.cumsum(counts.sum(1))]), items.astype(np.int64)


def flat_positions(offsets: Int64Array, columns: Int64Array, width: int) -> Int64Array:
    """Where the pairs of one block stand in a flattened `[b, width]` matrix, given the block's b + 1 offsets."""
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return rows * width + columns[offsets[0] : offsets[-1]]


def _checked_users(
    embeddings: Embeddings, users: UserNumbers, k: int, mask: Sequence[Interactions], block_size: int | None
) -> Int64Array:
    U, I = len(embeddings.users), len(embeddings.items)
    if (
        embeddings.users.ndim != 2
        or embeddings.items.ndim != 2
        or embeddings.users.shape[1] != embeddings.items.shape[1]
    ):
        found = f"{list(embeddings.users.shape)} and {list(embeddings.items.shape)}"
        raise InputError("embeddings", f"shapes {found}", "[U, d] and [I, d]")
    largest = []
    for name, side in (("user", embeddings.users), ("item", embeddings.items)):
        largest.append(side.detach().abs().amax().double().item() if side.numel() else 0.0)
        if not np.isfinite(largest[-1]):
            row = int((~side.isfinite()).any(1).nonzero()[0])
            raise InputError(f"{name} embeddings, row {row}", "NaN or inf", "finite numbers")
    if largest[0] * largest[1] * embeddings.users.shape[1] > torch.finfo(torch.float32).max:
        raise InputError("embeddings", f"entries up to {max(largest):.3g}", "scores within float32")
    for pairs in mask:
        check_counts("mask", pairs, embeddings)
    for name, value in (("k", k), ("block_size", block_size)):
        if value is not None and value < 1:
            raise InputError(name, str(value), "1 or more")
    if not I:
        raise InputError("item embeddings", "no row", "at least one item")
    numbers = np.asarray(users.cpu() if isinstance(users, Tensor) else users, dtype=np.int64).reshape(-1)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= U):
        raise InputError("user numbers", f"{numbers.min()}..{numbers.max()}", f"numbers within 0..{U - 1}")
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


def _keys(scores: Tensor, numbers: Tensor) -> Tensor:
    """Distinct int64 keys, smaller is better: the score's order in the upper half, its number in the lower."""
    bits = (0.0 - scores).view(torch.int32)  # 0.0 - x also makes both zeros one
    bits ^= (
        bits >> 31
    ) & 0x7FFFFFFF  # sign and magnitude to two's complement: integers in the order of the floats
    return torch.add(numbers, bits, alpha=2**32)


def _numbers(keys: Tensor) -> Tensor:
    return keys & 0xFFFFFFFF


def _best(keys: Tensor, k: int) -> Tensor:
    return keys.topk(k, largest=False).values


def _ranking(keys: Tensor, k: int) -> Ranking:
    bits = (keys >> 32).int()
    bits ^= (bits >> 31) & 0x7FFFFFFF
    scores = 0.0 - bits.view(torch.float32)
    items = _numbers(keys).masked_fill_(scores == -torch.inf, -1)
    missing = (0, k - keys.shape[1])
    return Ranking(
        torch.nn.functional.pad(items, missing, value=-1),
        torch.nn.functional.pad(scores, missing, value=-torch.inf),
    )
