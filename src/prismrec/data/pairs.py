"""Distinct (user, item) pairs with their timestamps and split labels, before the split."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from prismrec.types import BoolArray, IntArray

LabelArray = npt.NDArray[np.int8]
TimeArray = npt.NDArray[np.int64] | npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs sorted by user, then item, each once.

    Attributes:
        users: user numbers `[E]`.
        items: item numbers `[E]`.
        num_users: U.
        num_items: I.
        timestamps: in any unit, `[E]`; the earliest one of a repeated pair.
        labels: the split of each pair in the file: 0 train, 1 valid, 2 test, `[E]`.
    """

    users: IntArray
    items: IntArray
    num_users: int
    num_items: int
    timestamps: TimeArray | None = None
    labels: LabelArray | None = None

    def __len__(self) -> int:
        return len(self.users)

    def where(self, keep: BoolArray) -> "Pairs":
        """The pairs where the mask `[E]` is true, with unchanged numbers."""
        return replace(
            self,
            users=self.users[keep],
            items=self.items[keep],
            timestamps=None if self.timestamps is None else self.timestamps[keep],
            labels=None if self.labels is None else self.labels[keep],
        )


class LabelConflictError(ValueError):
    """A pair has two split labels; `user` and `item` are its numbers."""

    def __init__(self, user: int, item: int, labels: tuple[int, int]) -> None:
        self.user = user
        self.item = item
        self.labels = labels
        super().__init__(f"user {user}, item {item}: labels {labels}")


def distinct(pairs: Pairs) -> Pairs:
    """Sort the pairs and keep each once, with its earliest timestamp.

    Raises:
        LabelConflictError: a pair has two different split labels.
    """
    keys = pairs.users.astype(np.int64) * pairs.num_items + pairs.items
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    is_first = np.ones(len(keys), dtype=np.bool_)
    is_first[1:] = keys[1:] != keys[:-1]
    starts = np.flatnonzero(is_first)
    labels = pairs.labels
    timestamps = pairs.timestamps
    if labels is not None:
        highest = np.maximum.reduceat(labels[order], starts)
        labels = np.minimum.reduceat(labels[order], starts)
        conflicts = np.flatnonzero(labels != highest)
        if len(conflicts):
            at = conflicts[0]
            user, item = divmod(int(keys[starts[at]]), pairs.num_items)
            raise LabelConflictError(user, item, (int(labels[at]), int(highest[at])))
    if timestamps is not None:
        timestamps = np.minimum.reduceat(timestamps[order], starts)
    first = order[starts]
    return replace(pairs, users=pairs.users[first], items=pairs.items[first], timestamps=timestamps, labels=labels)


def k_core(pairs: Pairs, k: int) -> Pairs:
    """The largest subset in which every user and every item has at least k pairs; it may be empty."""
    while True:
        user_degrees = np.bincount(pairs.users, minlength=pairs.num_users)
        item_degrees = np.bincount(pairs.items, minlength=pairs.num_items)
        keep = (user_degrees[pairs.users] >= k) & (item_degrees[pairs.items] >= k)
        if keep.all():
            return pairs
        pairs = pairs.where(keep)


def renumber(pairs: Pairs) -> tuple[Pairs, IntArray, IntArray]:
    """Number only the users and items that have a pair, in unchanged order.

    Returns:
        The pairs, and the old numbers of the kept users and of the kept items.
    """
    users = np.unique(pairs.users)
    items = np.unique(pairs.items)
    kept = replace(
        pairs,
        users=np.searchsorted(users, pairs.users).astype(np.int32),
        items=np.searchsorted(items, pairs.items).astype(np.int32),
        num_users=len(users),
        num_items=len(items),
    )
    return kept, users, items
