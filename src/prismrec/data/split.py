"""Splits pairs into training, validation and test by one of six protocols.

Pairs are sorted by user and item, so a split does not depend on the order of the rows in a file.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from prismrec.data.pairs import LabelArray, Pairs, TimeArray
from prismrec.errors import InputError, ParameterError, check_choice, check_type

TRAIN, VALID, TEST = 0, 1, 2
SPLIT_NAMES = ("train", "valid", "test")
Protocol = Literal["label", "user", "overall", "last", "time", "cold-items"]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SplitSpec:
    """A protocol with its ratios and its seed.

    Attributes:
        by: the protocol. `label` uses the split column of the file. `user` splits the pairs of each user at random.
            `overall` splits all pairs at random. `last` takes the last pair of each user for test and the one before
            for validation. `time` splits all pairs at two points in time. `cold-items` splits the items at random and
            moves all pairs of an item together (LATTICE, section 3.1.3, with ratios 8:1:1).
        ratios: shares of training, validation and test; they need not add up to 1. `label` and `last` ignore them.
        seed: seed of the random protocols, 0 or more.

    Raises:
        InputError: the protocol is unknown, the seed is negative, or the ratios are not three finite numbers of which
            none is negative and the first is above 0.
    """

    by: Protocol = "user"
    ratios: tuple[float, float, float] = (8.0, 1.0, 1.0)
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("by", self.by, get_args(Protocol))
        if not _are_shares(self.ratios):
            expected = "three shares train:valid:test, none negative, train above 0, such as 8:1:1"
            found = self._shares if _are_numbers(self.ratios) else repr(self.ratios)
            raise ParameterError("ratios", found, expected)
        check_type("seed", self.seed, Integral, "an integer, 0 or more")
        if self.seed < 0:
            raise ParameterError("seed", str(self.seed), "an integer, 0 or more")

    @property
    def valid_share(self) -> float:
        """The fraction of pairs, or of items, for validation."""
        return self.ratios[VALID] / sum(self.ratios)

    @property
    def test_share(self) -> float:
        """The fraction of pairs, or of items, for test."""
        return self.ratios[TEST] / sum(self.ratios)

    def __str__(self) -> str:
        descriptions = {
            "label": "the file's own labels",
            "last": "each user's last two pairs held out",
            "time": f"two points in time, {self._shares}",
            "user": f"at random within each user, {self._shares}, seed {self.seed}",
            "overall": f"at random over all pairs, {self._shares}, seed {self.seed}",
            "cold-items": f"at random over items, {self._shares}, seed {self.seed}",
        }
        return descriptions[self.by]

    @property
    def _shares(self) -> str:
        return ":".join(f"{share:g}" for share in self.ratios)


def _are_numbers(values: object) -> bool:
    return isinstance(values, tuple | list) and all(isinstance(value, Real) for value in values)


def _are_shares(ratios: Sequence[float]) -> bool:
    """Whether these are three finite numbers of which none is negative and the first is above 0."""
    return (
        _are_numbers(ratios)
        and len(ratios) == 3
        and all(math.isfinite(share) and share >= 0 for share in ratios)
        and ratios[TRAIN] > 0
    )


def split_labels(pairs: Pairs, spec: SplitSpec, where: str) -> LabelArray:
    """Assign each pair to a split.

    Args:
        pairs: E distinct pairs, sorted by user and item.
        spec: the protocol.
        where: the name of the file, for error messages.

    Returns:
        Labels, int8 `[E]`: 0 training, 1 validation, 2 test.

    Raises:
        InputError: the pairs lack the labels or timestamps that the protocol needs, or no training pair remains.
    """
    labels = _assign(pairs, spec, where)
    if not (labels == TRAIN).any():
        counts = np.bincount(labels, minlength=3)
        raise InputError(
            f"{where}, split by {spec.by}",
            f"no training pair ({counts[VALID]:,} valid, {counts[TEST]:,} test)",
            "at least one training pair (label 0 or 'train')",
        )
    return labels


def _assign(pairs: Pairs, spec: SplitSpec, where: str) -> LabelArray:
    match spec.by:
        case "label":
            return _file_labels(pairs, where)
        case "user":
            return _by_user(pairs, spec)
        case "overall":
            return _by_overall(pairs, spec)
        case "last":
            return _by_last(pairs, _timestamps(pairs, where))
        case "time":
            return _by_time(pairs, _timestamps(pairs, where), spec)
        case "cold-items":
            return _by_cold_items(pairs, spec)


def _file_labels(pairs: Pairs, where: str) -> LabelArray:
    if pairs.labels is None:
        expected = (
            "a column split, x_label or label with train/valid/test or 0/1/2, another one named by ColumnNames.split "
            "(--split-column)"
        )
        raise InputError(where, "no split column", f"{expected}, or another protocol")
    return pairs.labels


def _timestamps(pairs: Pairs, where: str) -> TimeArray:
    if pairs.timestamps is None:
        expected = (
            "a column timestamp, time, ts, datetime or date, "
            "another one named by ColumnNames.timestamp (--time-column), or another protocol"
        )
        raise InputError(where, "no timestamp column", expected)
    return pairs.timestamps


def _by_user(pairs: Pairs, spec: SplitSpec) -> LabelArray:
    """Split the pairs of each user at random.

    Every user has a training pair. A user with three or more pairs has a pair in each split with a share above 0.
    """
    keys = np.random.default_rng(spec.seed).random(len(pairs))
    ranks, degrees = _ranks_within_user(pairs, keys)
    counts = _held_out_counts(degrees, spec)
    enough = degrees >= 3
    valid = counts.valid
    if spec.valid_share > 0:
        valid = np.where(enough, np.maximum(valid, 1), valid)
    test = counts.test
    if spec.test_share > 0:
        test = np.where(enough, np.maximum(test, 1), test)
    reserved = 1 + (enough & (valid > 0))  # pairs that test leaves to training and validation
    test = np.minimum(test, np.maximum(degrees - reserved, 0))
    valid = np.minimum(valid, np.maximum(degrees - 1 - test, 0))
    return _label_ranks(ranks, valid[pairs.users], test[pairs.users])


def _by_overall(pairs: Pairs, spec: SplitSpec) -> LabelArray:
    """Split all pairs at random."""
    ranks = _random_ranks(len(pairs), spec.seed)
    counts = _held_out_counts(len(pairs), spec)
    return _label_ranks(ranks, counts.valid, counts.test)


def _by_last(pairs: Pairs, times: TimeArray) -> LabelArray:
    """Take the last pair of each user for test and the one before for validation.

    A user with two pairs has no validation pair, and a single pair is for training. Of pairs with equal timestamps, the
    one with the lower item number counts as the later one.
    """
    ranks, degrees = _ranks_within_user(pairs, -times)
    degree = degrees[pairs.users]  # [E]
    valid = (degree >= 3).astype(np.int64)
    test = (degree >= 2).astype(np.int64)
    return _label_ranks(ranks, valid, test)


def _by_time(pairs: Pairs, times: TimeArray, spec: SplitSpec) -> LabelArray:
    """Split all pairs at two points in time. Pairs with equal timestamps stay together, in the later split."""
    counts = _held_out_counts(len(pairs), spec)
    ordered = np.sort(times)
    labels = np.zeros(len(pairs), dtype=np.int8)
    if counts.valid:
        start = ordered[len(pairs) - counts.valid - counts.test]
        labels[times >= start] = VALID
    if counts.test:
        start = ordered[len(pairs) - counts.test]
        labels[times >= start] = TEST
    return labels


def _by_cold_items(pairs: Pairs, spec: SplitSpec) -> LabelArray:
    """Split the items that have pairs at random, and give each pair the label of its item."""
    items = np.unique(pairs.items)
    ranks = _random_ranks(len(items), spec.seed)
    counts = _held_out_counts(len(items), spec)
    item_labels = np.zeros(pairs.num_items, dtype=np.int8)
    item_labels[items] = _label_ranks(ranks, counts.valid, counts.test)
    return item_labels[pairs.items]


class _HeldOut(NamedTuple):
    """Numbers of validation and of test pairs, for all pairs (arrays without axes) or for each user `[U]`."""

    valid: Counts
    test: Counts


def _held_out_counts(total: int | Counts, spec: SplitSpec) -> _HeldOut:
    """The shares of `total` for validation and for test, with halves rounded up."""
    totals = np.asarray(total)
    valid = np.floor(totals * spec.valid_share + 0.5).astype(np.int64)
    test = np.floor(totals * spec.test_share + 0.5).astype(np.int64)
    return _HeldOut(valid, test)


def _random_ranks(count: int, seed: int) -> Counts:
    return np.random.default_rng(seed).permutation(count)


def _ranks_within_user(pairs: Pairs, keys: npt.NDArray[np.generic]) -> tuple[Counts, Counts]:
    """Rank the pairs of each user by ascending key `[E]`.

    Returns:
        The rank of each pair among the pairs of its user, from 0, `[E]`, and the degrees of the users `[U]`.
    """
    order = np.lexsort((keys, pairs.users))
    degrees = np.bincount(pairs.users, minlength=pairs.num_users)
    starts = np.cumsum(degrees) - degrees
    ranks = np.empty(len(pairs), dtype=np.int64)
    ranks[order] = np.arange(len(pairs)) - starts[pairs.users]
    return ranks, degrees


def _label_ranks(ranks: Counts, valid: Counts, test: Counts) -> LabelArray:
    """Label the first `test` ranks test, the next `valid` ranks validation, and the others training."""
    labels = np.zeros(len(ranks), dtype=np.int8)
    labels[ranks < valid + test] = VALID
    labels[ranks < test] = TEST
    return labels
