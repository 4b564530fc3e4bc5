"""A data set, immutable and valid: what readers produce and everything else uses."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
import polars as pl

from prismrec.data.import_record import ImportRecord
from prismrec.provenance import Encoding
from prismrec.records import DataOrigin
from prismrec.types import BoolArray, FloatArray, Interactions, Vocabulary


@dataclass(frozen=True, eq=False)
class Dataset:
    """Interactions in three splits, item features per modality, and the ids behind the numbers.

    Attributes:
        name: the name of the data set.
        train: pairs for training. The three splits have the same U and I, and no pair in common.
        valid: pairs for choosing hyperparameters and the epoch.
        test: pairs for reporting results.
        features: modality → float32 `[I, F_m]`. Rows of items without the modality are filled.
        present: modality → bool `[I]`, False where the row of `features` was filled.
        users: user ids in the order of their numbers.
        items: item ids in the order of their numbers.
        catalog: descriptions for people: `item_id` as text, then the other columns of the item table. Row i is item
            number i.
        notes: what was counted, left out and decided while reading, one sentence each.
        origin: where the command line read the data, and how.
        folder: the folder of the data set, an absolute path, if it was read from one. Paths in the item table, such as
            those of pictures, are relative to it.
        encodings: modality → how `prismrec features` made it; modalities of other origin are absent.
        imported: where a data set comes from that `prismrec data import` wrote; None for others.

    Raises:
        ValueError: the parts do not fit together.
    """

    name: str
    train: Interactions
    valid: Interactions
    test: Interactions
    features: Mapping[str, FloatArray]
    present: Mapping[str, BoolArray]
    users: Vocabulary
    items: Vocabulary
    catalog: pl.DataFrame | None = None
    notes: tuple[str, ...] = ()
    origin: DataOrigin | None = None
    folder: str | None = None
    encodings: Mapping[str, Encoding] = field(default_factory=dict)
    imported: ImportRecord | None = None

    def __post_init__(self) -> None:
        size = (len(self.users), len(self.items))
        for split in (self.train, self.valid, self.test):
            if (split.num_users, split.num_items) != size:
                raise ValueError(f"a split of {split.num_users} × {split.num_items} in a data set of {size}")
        if self.features.keys() != self.present.keys():
            raise ValueError(f"features of {list(self.features)} beside presence of {list(self.present)}")
        for name, values in self.features.items():
            if values.ndim != 2 or len(values) != size[1] or self.present[name].shape != size[1:]:
                raise ValueError(f"features {name!r} of shape {values.shape} for {size[1]} items")
        if self.catalog is not None and len(self.catalog) != size[1]:
            raise ValueError(f"a catalog of {len(self.catalog)} rows for {size[1]} items")
        object.__setattr__(self, "features", MappingProxyType(dict(self.features)))
        object.__setattr__(self, "present", MappingProxyType(dict(self.present)))

    def __repr__(self) -> str:
        """One line: the numbers of users, items and interactions, and the width of each modality."""
        splits = f"{len(self.train):,} + {len(self.valid):,} + {len(self.test):,} interactions"
        widths = "".join([f", {name} [{rows.shape[1]}]" for name, rows in self.features.items()])
        return f"<Dataset {self.name}: {len(self.users):,} users, {len(self.items):,} items, {splits}{widths}>"

    def __getstate__(self) -> dict[str, object]:
        """What to pickle: read-only views of dicts cannot be pickled, the dicts can."""
        return {**vars(self), "features": dict(self.features), "present": dict(self.present)}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        object.__setattr__(self, "features", MappingProxyType(self.features))
        object.__setattr__(self, "present", MappingProxyType(self.present))

    def without_test(self) -> "Dataset":
        """A copy whose test split is empty: what may be seen before hyperparameters are chosen."""
        return replace(self, test=Interactions.from_pairs([], [], len(self.users), len(self.items)))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the ids, the pairs of each split and the features. Equal data have equal fingerprints."""
        digest = hashlib.sha256()
        digest.update(_bytes_of(self.users))
        digest.update(_bytes_of(self.items))
        for split in (self.train, self.valid, self.test):
            digest.update(np.uint64(len(split)).astype("<u8").tobytes())
            digest.update(split.users.astype("<i4").tobytes())
            digest.update(split.items.astype("<i4").tobytes())
        for name in sorted(self.features):
            values = self.features[name]
            digest.update(f"{name}\0{values.shape[1]}\0".encode())
            digest.update(np.ascontiguousarray(values, dtype="<f4").data)
            digest.update(self.present[name].tobytes())
        return digest.hexdigest()


def _bytes_of(vocabulary: Vocabulary) -> bytes:
    """The lengths of all ids, then the ids."""
    lengths = vocabulary.ids.str.len_bytes().to_numpy().astype("<u4")
    return lengths.tobytes() + "".join(vocabulary.ids).encode()
