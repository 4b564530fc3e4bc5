"""The types that the subpackages exchange.

An **id** is an identifier of the data set (a string). A **number** is a row (0-based). All types except `Vocabulary`
use numbers only. Letters: U users, I items, E interactions, B batch size, d embedding width.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from prismrec.errors import InputError

IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Interactions:
    """Distinct (user, item) pairs, sorted by user, then item; built by `from_pairs`.

    Attributes:
        users: user numbers, int32 `[E]`.
        items: item numbers, int32 `[E]`.
        num_users: U, including users without a pair.
        num_items: I, including items without a pair.
    """

    users: IntArray
    items: IntArray
    num_users: int
    num_items: int

    def __post_init__(self) -> None:
        """Check what SciPy and the kernels trust: wrong numbers would be read and written beyond their arrays.

        Raises:
            ValueError: no arrays of whole numbers of one length, or numbers that are out of range or not sorted.
        """
        for name in ("users", "items"):
            numbers = getattr(self, name)
            if not isinstance(numbers, np.ndarray) or numbers.ndim != 1 or numbers.dtype.kind not in "iu":
                raise ValueError(f"{name} that are no array of whole numbers with one dimension; from_pairs makes one")
        if len(self.users) != len(self.items):
            raise ValueError(f"{len(self.users)} users and {len(self.items)} items are not pairs")
        _check_range("user", self.users, self.num_users)
        _check_range("item", self.items, self.num_items)
        if (self.users[1:] < self.users[:-1]).any():
            raise ValueError("pairs that are not sorted by user; from_pairs sorts them")

    def __repr__(self) -> str:
        """One line: the numbers of pairs, users and items."""
        return f"<Interactions: {len(self):,} pairs, {self.num_users:,} users, {self.num_items:,} items>"

    @classmethod
    def from_pairs(cls, users: npt.ArrayLike, items: npt.ArrayLike, num_users: int, num_items: int) -> "Interactions":
        """Sort the pairs and drop duplicates.

        Raises:
            ValueError: the arrays differ in length, or a number is not whole or outside 0..U-1 or 0..I-1.
        """
        user_numbers = _whole_numbers("user", users)
        item_numbers = _whole_numbers("item", items)
        if user_numbers.shape != item_numbers.shape:
            raise ValueError(f"{len(user_numbers)} users and {len(item_numbers)} items are not pairs")
        _check_range("user", user_numbers, num_users)
        _check_range("item", item_numbers, num_items)
        keys = np.sort(user_numbers * num_items + item_numbers)
        is_first = np.diff(keys, prepend=-1) > 0  # ten times faster than np.unique on millions of pairs
        distinct_users, distinct_items = np.divmod(keys[is_first], max(num_items, 1))
        return cls(distinct_users.astype(np.int32), distinct_items.astype(np.int32), num_users, num_items)

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def csr(self) -> csr_matrix:
        """The 0/1 matrix R, float32 `[U, I]`, column indices sorted."""
        data = np.ones(len(self), dtype=np.float32)
        return csr_matrix((data, self.items, self.offsets), shape=(self.num_users, self.num_items))

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """User u has the items `items[offsets[u]:offsets[u + 1]]`; int64 `[U + 1]`."""
        return np.concatenate([[0], np.cumsum(self.user_degrees)]).astype(np.int64)

    @cached_property
    def user_degrees(self) -> npt.NDArray[np.int64]:
        """Number of items of each user, `[U]`."""
        return np.bincount(self.users, minlength=self.num_users)

    @cached_property
    def item_degrees(self) -> npt.NDArray[np.int64]:
        """Number of users of each item, `[I]`."""
        return np.bincount(self.items, minlength=self.num_items)

    def items_of(self, user: int) -> IntArray:
        """The item numbers of one user in ascending order, int32 `[number of items]`."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def of_users(self, users: npt.NDArray[np.integer]) -> "Interactions":
        """The pairs of n users, which become the users 0..n-1 in the order given.

        Args:
            users: user numbers `[n]`.
        """
        counts = self.user_degrees[users]  # [n]
        rows = np.repeat(np.arange(len(users), dtype=np.int32), counts)
        shift = np.repeat(self.offsets[users] - np.cumsum(counts) + counts, counts)  # from row to pair
        return Interactions(rows, self.items[shift + np.arange(len(rows))], len(users), self.num_items)


def _whole_numbers(kind: str, numbers: npt.ArrayLike) -> npt.NDArray[np.int64]:
    given = np.asarray(numbers).reshape(-1)
    is_whole = given.dtype.kind in "iu" or (given.dtype.kind == "f" and bool((given == np.floor(given)).all()))
    if not is_whole:
        raise ValueError(f"{kind} numbers of type {given.dtype}, not whole numbers")
    return given.astype(np.int64)


def _check_range(kind: str, numbers: npt.NDArray[np.integer], count: int) -> None:
    if numbers.size and (numbers.min() < 0 or numbers.max() >= count):
        raise ValueError(f"{kind} numbers {numbers.min()}..{numbers.max()} are not within 0..{count - 1}")


@dataclass(frozen=True)
class Embeddings:
    """The result of every model: a score is the inner product of a user row and an item row.

    Attributes:
        users: float32 `[U, d]`.
        items: float32 `[I, d]`.
    """

    users: Tensor
    items: Tensor

    def __repr__(self) -> str:
        """One line: the shapes."""
        return f"<Embeddings: users {list(self.users.shape)}, items {list(self.items.shape)}>"

    def scores(self, users: Tensor | Sequence[int] | slice = slice(None)) -> Tensor:
        """Scores of all items for the given user numbers, `[len(users), I]`."""
        rows = users if isinstance(users, slice | Tensor) else torch.as_tensor(users)
        return self.users[rows] @ self.items.T

    def detached(self) -> "Embeddings":
        """A copy on the CPU, float32, contiguous, without gradient history."""
        users = self.users.detach().to("cpu", torch.float32, copy=True).contiguous()
        items = self.items.detach().to("cpu", torch.float32, copy=True).contiguous()
        return Embeddings(users, items)


@dataclass(frozen=True)
class Triplets:
    """A training batch: each user prefers its positive item to its negative one; each int64 `[B]`."""

    users: Tensor
    positives: Tensor
    negatives: Tensor

    def __len__(self) -> int:
        return len(self.users)

    @property
    def items(self) -> Tensor:
        """The positives followed by the negatives, `[2 B]`."""
        return torch.cat([self.positives, self.negatives])

    def to(self, device: torch.device) -> "Triplets":
        """The batch on a device."""
        return Triplets(self.users.to(device), self.positives.to(device), self.negatives.to(device))

    def split(self, size: int) -> Iterator["Triplets"]:
        """Batches of `size` triplets in order; the last one may be short."""
        return map(Triplets, self.users.split(size), self.positives.split(size), self.negatives.split(size))


class Vocabulary:
    """Translates between ids and numbers (rows).

    Ids are strings, or what a user passed in memory: integers or other hashable objects. Files contain strings only.

    Attributes:
        ids: the id of each row as a string.
        kind: what the ids identify.
        given: the id of each row as the user passed it: integers, or an array of objects. None if ids are strings.
    """

    def __init__(
        self, ids: pl.Series | Iterable[str], kind: str = "id", *, given: Sequence[Hashable] | None = None
    ) -> None:
        """Number the ids in the given order.

        Args:
            ids: distinct, nonempty strings.
            kind: what the ids identify ("user", "item"), for messages.
            given: the distinct ids that the strings stand for, in the same order. None if they are the strings.

        Raises:
            ValueError: an id is missing, empty or given twice, or the ids are not strings.
        """
        self.kind = kind
        self.ids = (ids if isinstance(ids, pl.Series) else pl.Series(list(ids), dtype=pl.String)).alias(kind)
        if self.ids.dtype != pl.String:
            raise ValueError(f"{kind} ids must be strings, not {self.ids.dtype}")
        if self.ids.null_count() or (self.ids.str.len_bytes() == 0).any():
            raise ValueError(f"an empty {kind} id")
        if self.ids.n_unique() != len(self.ids):
            raise ValueError(f"{kind} id {self.ids.filter(self.ids.is_duplicated())[0]!r} is given twice")
        self.given = None if given is None else _id_array(given)
        if given is not None and len(self._number_of) != len(self.ids):
            raise ValueError(f"{len(self._number_of)} distinct {kind} ids for {len(self.ids)} strings")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, identifier: object) -> bool:
        try:
            return identifier in self._number_of
        except TypeError:  # not hashable
            return False

    @cached_property
    def _number_of(self) -> dict[Hashable, int]:
        ids = self.ids if self.given is None else self.given.tolist()
        return {identifier: number for number, identifier in enumerate(ids)}

    @cached_property
    def _identifiers(self) -> list[Hashable]:
        return list(self._number_of)

    def identifiers(self, numbers: Sequence[int]) -> list[Hashable]:
        """The ids of a few rows; for many, `ids_of` is faster."""
        return [self._identifiers[number] for number in numbers]

    def number(self, identifier: Hashable) -> int:
        """The row of one id.

        Raises:
            InputError: the id is unknown; the message shows a known one.
        """
        if identifier in self:
            return self._number_of[identifier]
        found = repr(identifier)
        expected = "no id at all"
        if len(self):
            example = self._similar(identifier) or self.id(0)
            expected = f"one of {len(self)} known ids, such as {example!r}"
            if not isinstance(identifier, type(example)):
                found += f" ({type(identifier).__name__})"
                expected += f" ({type(example).__name__})"
        raise InputError(f"{self.kind} id", found, expected)

    def _similar(self, identifier: Hashable) -> Hashable | None:
        """An id that differs from this one only in case or blanks around it, for messages."""
        if self.given is not None or not isinstance(identifier, str):
            return None
        same = self.ids.str.strip_chars().str.to_lowercase() == identifier.strip().lower()
        return self.id(same.arg_max() or 0) if same.any() else None

    def id(self, number: int) -> Hashable:
        """The id of one row."""
        return self.ids_of([number]).to_list()[0]

    def ids_of(self, numbers: npt.ArrayLike) -> pl.Series:
        """The ids of the given rows, in the order given: of dtype String, Int64 or Object."""
        rows = np.asarray(numbers, dtype=np.int64)
        if self.given is None:
            return self.ids.gather(rows)
        chosen = self.given[rows]
        if chosen.dtype == np.object_:
            return pl.Series(self.kind, chosen.tolist(), dtype=pl.Object)
        return pl.Series(self.kind, chosen)


def _id_array(given: Sequence[Hashable]) -> npt.NDArray[np.int64] | npt.NDArray[np.object_]:
    """Integers as int64, and everything else as objects."""
    if all(type(identifier) is int and abs(identifier) < 2**63 for identifier in given):
        return np.array(given, dtype=np.int64)
    return np.fromiter(given, dtype=np.object_, count=len(given))
