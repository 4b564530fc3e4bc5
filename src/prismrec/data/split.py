"""How pairs become training, validation and test: six protocols, each a function of the pairs and a seed.

The pairs come sorted by user and item, so that no protocol depends on the order of rows in a file.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from prismrec.data.pairs import LabelArray, Pairs, TimeArray
from prismrec.errors import InputError

TRAIN, VALID, TEST = 0, 1, 2
SPLIT_NAMES = ("train", "valid", "test")
Protocol = Literal["label", "user", "overall", "last", "time", "cold-items"]


@dataclass(frozen=True)
class SplitSpec:
    """Which protocol, in which shares, from which seed.

    Attributes:
        by: `label`, the file's own split column; `user`, at random within each user; `overall`, at random over
            all pairs; `last`, each user's last pair to test and the one before to validation; `time`, two
            moments cut all pairs; `cold-items`, at random over items, whose pairs leave training together
            (LATTICE, section 3.1.3, has 8:1:1).
        ratios: shares of train, valid and test, scaled to sum 1; not used by `label` and `last`.
        seed: of the random protocols.

    Raises:
        InputError: an unknown protocol, or shares that leave nothing to train on.
    """

    by: Protocol = "user"
    ratios: tuple[float, float, float] = (8.0, 1.0, 1.0)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.by not in get_args(Protocol):
            raise InputError("split protocol", repr(self.by), f"one of: {', '.join(get_args(Protocol))}")
        shares = np.asarray(self.ratios, dtype=np.float64)
        if shares.shape != (3,) or not np.isfinite(shares).all() or (shares < 0).any() or shares[0] == 0:
            raise InputError(
                "split ratios",
                ":".join(f"{share:g}" for share in self.ratios),
                "three shares train:valid:test, none negative, train above 0, such as 8:1:1",
            )
        if self.seed < 0:
            raise InputError("split seed", str(self.seed), "a whole number from 0 on")

    @property
    def held_out(self) -> tuple[float, float]:
        """The fractions of validation and test."""
        total = sum(self.ratios)
        return self.ratios[VALID] / total, self.ratios[TEST] / total

    def __str__(self) -> str:
        detail = {
            "label": "the file's own labels",
            "last": "each user's last two pairs held out",
            "time": f"two moments in time, {self._shares}",
            "user": f"at random within each user, {self._shares}, seed {self.seed}",
            "overall": f"at random over all pairs, {self._shares}, seed {self.seed}",
            "cold-items": f"at random over items, {self._shares}, seed {self.seed}",
        }
        return detail[self.by]

    @property
    def _shares(self) -> str:
        return ":".join(f"{share:g}" for share in self.ratios)


def split_labels(pairs: Pairs, spec: SplitSpec, where: str) -> LabelArray:
    """A label for each pair, 0 train, 1 valid, 2 test, int8 `[E]`.

    Args:
        pairs: distinct, sorted pairs.
        spec: the protocol.
        where: the file, for messages.

    Raises:
        InputError: the pairs lack what the protocol goes by, or nothing is left to train on.
    """
    labels = _PROTOCOLS[spec.by](pairs, spec, where)
    if not (labels == TRAIN).any():
        counts = np.bincount(labels, minlength=3)
        raise InputError(
            f"{where}, split by {spec.by}",
            f"no training pair ({counts[VALID]:,} valid, {counts[TEST]:,} test)",
            "at least one training pair (label 0 or 'train')",
        )
    return labels


def _by_label(pairs: Pairs, _spec: SplitSpec, where: str) -> LabelArray:
    if pairs.labels is None:
        raise InputError(
            where,
            "no split column",
            "a column split, x_label or label with train/valid/test or 0/1/2 (--split-column), or another --by",
        )
    return pairs.labels


def _by_user(pairs: Pairs, spec: SplitSpec, _where: str) -> LabelArray:
    """Within each user at random; who has three pairs or more has one in every split whose share is not 0."""
    ranks, degrees = _ranks_within_user(pairs, np.random.default_rng(spec.seed).random(len(pairs)))
    valid, test = _held_out_counts(degrees, spec)
    enough = degrees >= 3
    valid = np.where(enough & (spec.held_out[0] > 0), np.maximum(valid, 1), valid)
    test = np.where(enough & (spec.held_out[1] > 0), np.maximum(test, 1), test)
    test = np.minimum(test, np.maximum(degrees - 1 - (enough & (valid > 0)), 0))
    valid = np.minimum(valid, np.maximum(degrees - 1 - test, 0))
    return _label_ranks(ranks, valid[pairs.users], test[pairs.users])


def _by_overall(pairs: Pairs, spec: SplitSpec, _where: str) -> LabelArray:
    return _label_ranks(_random_ranks(len(pairs), spec.seed), *_held_out_counts(len(pairs), spec))


def _by_last(pairs: Pairs, _spec: SplitSpec, where: str) -> LabelArray:
    """Last pair to test, the one before to valid; of two pairs the first trains, a single pair trains.

    Pairs of one moment are told apart by item number.
    """
    ranks, degrees = _ranks_within_user(pairs, -_timestamps(pairs, where))
    degree = degrees[pairs.users]
    return _label_ranks(ranks, (degree >= 3).astype(np.int64), (degree >= 2).astype(np.int64))


def _by_time(pairs: Pairs, spec: SplitSpec, where: str) -> LabelArray:
    """Two moments cut the timestamps at the shares; pairs of one moment stay together, in the later split."""
    times = _timestamps(pairs, where)
    valid, test = _held_out_counts(len(pairs), spec)
    ordered = np.sort(times)
    labels = np.zeros(len(pairs), dtype=np.int8)
    if valid:
        labels[times >= ordered[len(pairs) - valid - test]] = VALID
    if test:
        labels[times >= ordered[len(pairs) - test]] = TEST
    return labels


def _by_cold_items(pairs: Pairs, spec: SplitSpec, _where: str) -> LabelArray:
    """Items that have pairs are drawn at random; all pairs of a drawn item leave training."""
    drawn = np.unique(pairs.items)
    of_item = np.zeros(pairs.num_items, dtype=np.int8)
    of_item[drawn] = _label_ranks(_random_ranks(len(drawn), spec.seed), *_held_out_counts(len(drawn), spec))
    return of_item[pairs.items]


def _held_out_counts(
    total: int | npt.NDArray[np.int64], spec: SplitSpec
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many of `total` go to validation and to test, rounded half up."""
    valid, test = (np.floor(np.asarray(total) * share + 0.5).astype(np.int64) for share in spec.held_out)
    return valid, test


def _random_ranks(count: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(count)


def _ranks_within_user(
    pairs: Pairs, keys: npt.NDArray[np.generic]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The place of each pair among its user's pairs, by ascending key, `[E]`; and the users' degrees `[U]`."""
    order = np.lexsort((keys, pairs.users))
    degrees = np.bincount(pairs.users, minlength=pairs.num_users)
    starts = np.cumsum(degrees) - degrees
    ranks = np.empty(len(pairs), dtype=np.int64)
    ranks[order] = np.arange(len(pairs)) - starts[pairs.users]
    return ranks, degrees


def _label_ranks(ranks: npt.NDArray[np.int64], valid: npt.NDArray[np.int64], test: npt.NDArray[np.int64]) -> LabelArray:
    """The first `test` ranks are test, the next `valid` ranks validation, the others training."""
    labels = np.zeros(len(ranks), dtype=np.int8)
    labels[ranks < valid + test] = VALID
    labels[ranks < test] = TEST
    return labels


def _timestamps(pairs: Pairs, where: str) -> TimeArray:
    if pairs.timestamps is None:
        raise InputError(
            where, "no timestamp column", "a column timestamp, time or ts (--time-column), or another --by"
        )
    return pairs.timestamps


_PROTOCOLS = {
    "label": _by_label,
    "user": _by_user,
    "overall": _by_overall,
    "last": _by_last,
    "time": _by_time,
    "cold-items": _by_cold_items,
}
