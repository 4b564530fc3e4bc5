"""The data sets on which a table is computed: found, loaded, split."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from prismrec.data import Dataset, SplitSpec, load
from prismrec.data.pairs import Pairs
from prismrec.data.split import TEST, TRAIN, VALID, Protocol, split_labels
from prismrec.errors import InputError
from prismrec.experiments.tables.library import counts
from prismrec.experiments.tables.schema import Paper, Table
from prismrec.types import Interactions

VARIABLE = "PRISMREC_DATA"
"""The environment variable that names the folder of data sets."""


@dataclass(frozen=True)
class Source:
    """A data set for a table.

    Attributes:
        name: what the table calls it.
        dataset: the data, split as the table says.
        published: the data set of the paper that it is, by the key of the paper; None if it is another one.
        split: the protocol of the split; None for that of the data.
    """

    name: str
    dataset: Dataset
    published: str | None
    split: str | None = None


@dataclass(frozen=True)
class Missing:
    """A data set of a paper that was not found."""

    name: str
    title: str
    where: str


class Reader:
    """Reads data sets, each of them once per split."""

    def __init__(self) -> None:
        self._read: dict[tuple[Path, Protocol | None], Dataset] = {}

    def __call__(self, path: Path, split: Protocol | None) -> Dataset:
        """The data set in a folder.

        Raises:
            InputError: it cannot be read.
        """
        place = (path.resolve(), split)
        if place not in self._read:
            self._read[place] = load(path, split=None if split is None else SplitSpec(by=split))
        return self._read[place]


def find_sources(table: Table, given: Sequence[str], read: Reader | None = None) -> tuple[list[Source], list[Missing]]:
    """The data sets of a table.

    Args:
        table: the table.
        given: folders, or names of folders in that of PRISMREC_DATA. None at all means the data sets of the paper.
        read: reads the folders; tables with a common one share data sets.

    Returns:
        The data sets that were found, and those of the paper that were not.

    Raises:
        InputError: a given folder does not exist or cannot be read, two have the same name, or no data set of the
            paper was found.
    """
    read = read or Reader()
    if given:
        sources = [_as_source(read(_given_path(each), table.split), table) for each in given]
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise InputError("--data", f"two data sets with one name: {', '.join(names)}", "folders of different names")
        return sources, []
    found, missing = [], []
    for name, data in table.paper.data.items():
        folder = _in_folder(name)
        if folder is None:
            missing.append(Missing(name, data.title, data.where))
        else:
            found.append(_as_source(read(folder, table.split), table))
    if not found:
        wanted = "; ".join(f"{each.name} ({each.title}): {each.where}" for each in missing)
        place = os.environ.get(VARIABLE)
        there = (
            f"none of the paper's data sets in {VARIABLE}={place}" if place else f"no --data, and {VARIABLE} is unset"
        )
        raise InputError(table.name, there, f"--data FOLDER, --quick, or the data of the paper. {wanted}")
    return found, missing


def quick_data() -> Dataset:
    """A tiny shop with pictures and texts, for a first look.

    Raises:
        InputError: the packages of the shop are not installed.
    """
    from prismrec.demo import ShopConfig, make_shop

    return make_shop(ShopConfig(users=150, items=90, interactions=1800)).dataset()


def as_source(dataset: Dataset, table: Table) -> Source:
    """A data set in memory for a table, split again if the table says how."""
    if table.split is not None:
        dataset = split_again(dataset, SplitSpec(by=table.split))
    return _as_source(dataset, table)


def split_again(dataset: Dataset, spec: SplitSpec) -> Dataset:
    """The data set with its interactions split by another protocol.

    Raises:
        InputError: the protocol needs timestamps, or no training pair remains.
    """
    splits = (dataset.train, dataset.valid, dataset.test)
    users = np.concatenate([split.users for split in splits])
    items = np.concatenate([split.items for split in splits])
    order = np.lexsort((items, users))
    num_users, num_items = len(dataset.users), len(dataset.items)
    pairs = Pairs(users[order], items[order], num_users, num_items)
    labels = split_labels(pairs, spec, dataset.name)

    def part(label: int) -> Interactions:
        chosen = labels == label
        return Interactions.from_pairs(pairs.users[chosen], pairs.items[chosen], num_users, num_items)

    notes = (*dataset.notes, f"split: {spec}")
    return replace(dataset, train=part(TRAIN), valid=part(VALID), test=part(TEST), notes=notes)


def with_modality(dataset: Dataset, modality: str) -> Dataset:
    """The data set with one of its modalities."""
    features = {modality: dataset.features[modality]}
    return replace(dataset, features=features, present={modality: dataset.present[modality]})


@lru_cache(maxsize=64)  # the rows of a table share it
def hide_features(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The data set in which some items have lost each modality, as if the features had never been computed.

    For each modality, the items are drawn among the items that have it, and at least one item keeps it. Hidden rows get
    the mean of the visible rows, like the rows of all items that lack a modality. With the same seed, a larger share
    hides all items of a smaller share.

    Args:
        dataset: the data set.
        share: of the items with the modality, from 0 to 1.
        seed: of the draw.
    """
    if not share:
        return dataset
    features, present = {}, {}
    for position, (name, values) in enumerate(dataset.features.items()):
        having = np.flatnonzero(dataset.present[name])
        order = np.random.default_rng([seed, position]).permutation(having)
        kept = dataset.present[name].copy()
        kept[order[: min(round(share * len(order)), len(order) - 1)]] = False
        mean = values[kept].mean(axis=0, dtype=np.float64).astype(np.float32)
        features[name] = np.where(kept[:, None], values, mean)
        present[name] = kept
    notes = (*dataset.notes, f"{share:.0%} of the items have lost each modality (seed {seed})")
    return replace(dataset, features=features, present=present, notes=notes)


def _as_source(dataset: Dataset, table: Table) -> Source:
    return Source(dataset.name, dataset, _match(dataset, table.paper), table.split)


def _match(dataset: Dataset, paper: Paper) -> str | None:
    return next((key for key, data in paper.data.items() if data.is_same(*counts(dataset))), None)


def _given_path(given: str) -> Path:
    path = Path(given)
    if path.exists():
        return path
    folder = _in_folder(given)
    if folder is None:
        place = os.environ.get(VARIABLE)
        expected = f"a folder, or a name in {VARIABLE}" + (f" ({place})" if place else ", which is unset")
        raise InputError("--data", repr(given), expected)
    return folder


def _in_folder(name: str) -> Path | None:
    place = os.environ.get(VARIABLE)
    if not place or Path(name).is_absolute() or ".." in Path(name).parts:
        return None
    folder = Path(place) / name
    return folder if folder.exists() else None
