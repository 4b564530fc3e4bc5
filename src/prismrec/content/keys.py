"""The keys of the rows of all items, in little memory."""

from array import array
from collections.abc import Iterator
from itertools import chain, groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

KEY_BYTES = 16
_KEYS_AT_ONCE = 4096


class Key(NamedTuple):
    """The key of a content.

    Attributes:
        item: the position of the item.
        number: of the content among those of the item, from 0.
        key: hash of the content.
    """

    item: int
    number: int
    key: bytes


class Keys:
    """The keys of the contents of all items in the order of the items, in 28 bytes each."""

    def __init__(self) -> None:
        self._items = array("q")
        self._numbers = array("i")
        self._keys = bytearray()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, key: Key) -> None:
        """Add a key behind the others."""
        self._items.append(key.item)
        self._numbers.append(key.number)
        self._keys += key.key

    def blocks(self) -> Iterator[list[Key]]:
        """The keys, a few thousand at once."""
        for start in range(0, len(self), _KEYS_AT_ONCE):
            stop = min(start + _KEYS_AT_ONCE, len(self))
            joined = bytes(self._keys[start * KEY_BYTES : stop * KEY_BYTES])
            cut = [joined[place : place + KEY_BYTES] for place in range(0, len(joined), KEY_BYTES)]
            yield list(map(Key, self._items[start:stop], self._numbers[start:stop], cut))

    def groups(self) -> Iterator[list[bytes]]:
        """The keys of each item that has any."""
        for _, group in groupby(chain.from_iterable(self.blocks()), key=lambda key: key.item):
            yield [key.key for key in group]

    def counts(self, num_items: int) -> npt.NDArray[np.int64]:
        """The number of keys of each item `[I]`."""
        return np.bincount(np.array(self._items, dtype=np.int64), minlength=num_items)
