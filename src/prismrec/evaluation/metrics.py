"""Ranking metrics per user and their means; docs/evaluation.md describes the protocol and the formulas."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from types import NoneType

import numpy as np
import numpy.typing as npt
import torch

from prismrec.errors import InputError, ParameterError, check_type
from prismrec.evaluation.groups import GroupMeans, ItemGroups, UserGroups
from prismrec.retrieval.ranking import (
    LONGEST_LIST,
    PairsOfUsers,
    Ranking,
    check_counts,
    map_rankings,
    pairs_of_users,
)
from prismrec.types import Embeddings, Interactions

METRICS = ("recall", "precision", "ndcg", "map", "mrr", "hit")

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evaluation(Mapping[str, float]):
    """Metrics of n users. It is a mapping from keys such as "recall@20" to means.

    Attributes:
        users: the evaluated users, numbers in ascending order `[n]`; they have a nonempty ground truth.
        per_user: the values of the evaluated users by the same keys, float64 `[n]` each.
        groups: the partition for `by_group`, if one was given.
        by_item_group: the means over the users with held-out items in each group of items, by label, if a partition of
            the items was given. Only the held-out items of the group count; the lists contain all items.
    """

    users: Int64Array
    per_user: Mapping[str, Float64Array]
    groups: UserGroups | None = None
    by_item_group: Mapping[str, GroupMeans] = field(default_factory=dict)

    def __repr__(self) -> str:
        """The means of all metrics, as `to_dict` has them, without the values of the users."""
        means = ", ".join([f"{key!r}: {value:.4f}" for key, value in self.items()])
        return f"<Evaluation of {self.num_users:,} users: {{{means}}}>"

    @property
    def num_users(self) -> int:
        """The number of evaluated users, n."""
        return len(self.users)

    def __getitem__(self, key: str) -> float:
        return float(self.per_user[key].mean())

    def __iter__(self) -> Iterator[str]:
        return iter(self.per_user)

    def __len__(self) -> int:
        return len(self.per_user)

    def mean(self, metric: str, k: int) -> float:
        """The mean of a metric at cut-off k over the evaluated users."""
        return self[f"{metric}@{k}"]

    def to_dict(self) -> dict[str, float]:
        """The means by key, ready for JSON."""
        return dict(self)

    def by_group(self, groups: UserGroups | None = None) -> dict[str, GroupMeans]:
        """The means over the evaluated users of each group, by label.

        Raises:
            ValueError: no groups were given, here or to `evaluate`.
        """
        groups = groups or self.groups
        if groups is None:
            raise ValueError("by_group needs groups")
        of_user = groups.of_user[self.users]
        counts = np.bincount(of_user, minlength=len(groups.labels))
        with np.errstate(invalid="ignore"):
            means = {
                key: np.bincount(of_user, weights=values, minlength=len(groups.labels)) / counts
                for key, values in self.per_user.items()
            }
        return {
            label: GroupMeans(int(counts[g]), {key: float(values[g]) for key, values in means.items()})
            for g, label in enumerate(groups.labels)
        }


def parse_metric(text: str) -> tuple[str, int]:
    """The name and the cut-off in a text such as "recall@20".

    Raises:
        ParameterError: the text is not a metric.
    """
    name, _, cutoff = text.partition("@")
    if name not in METRICS or not re.fullmatch("[1-9][0-9]{0,8}", cutoff):
        raise ParameterError("metric", repr(text), f"one of {', '.join(METRICS)} and a cut-off: recall@20")
    return name, int(cutoff)


def evaluate(
    embeddings: Embeddings,
    truth: Interactions,
    *,
    mask: Sequence[Interactions] = (),
    metrics: Sequence[str] = ("recall", "ndcg", "precision", "map"),
    cutoffs: Sequence[int] = (5, 10, 20, 50),
    groups: UserGroups | None = None,
    item_groups: ItemGroups | None = None,
    block_size: int | None = None,
) -> Evaluation:
    """Rank all items for every user with a ground truth and compute the metrics of the lists.

    Args:
        embeddings: users `[U, d]`, items `[I, d]`, on any device.
        truth: the held-out pairs.
        mask: pairs to leave out of the lists: the training pairs, and at test time also the validation pairs if the
            protocol says so.
        metrics: names from `METRICS`.
        cutoffs: list lengths k.
        groups: a partition of the users for `Evaluation.by_group`.
        item_groups: a partition of the items for `Evaluation.by_item_group`.
        block_size: number of users scored at once; None chooses it.

    Raises:
        InputError: a metric is unknown, a cut-off is below 1, the ground truth is empty, pairs have other numbers of
            users or items than the embeddings, groups are of other data, or `rank` refuses the embeddings.
    """
    check_counts("ground truth", truth, embeddings)
    _check(truth, metrics, cutoffs)
    _check_groups(truth, groups, item_groups)
    users = np.flatnonzero(truth.user_degrees)
    k = min(max(cutoffs), truth.num_items)

    hits = partial(_hits, pairs_of_users(users, truth))
    found = np.hstack(map_rankings(embeddings, users, k, mask, hits, block_size=block_size))
    rows, ranks, items = found[:, np.lexsort((found[1], found[0]))]
    values = _per_user(rows, ranks, truth.user_degrees[users], metrics, cutoffs)
    by_item_group = {}
    if item_groups is not None:
        of_truth = item_groups.of_item[truth.items]  # [pairs]
        of_hits = item_groups.of_item[items]  # [hits]
        for number, label in enumerate(item_groups.labels):
            num_true = np.bincount(truth.users[of_truth == number], minlength=truth.num_users)[users]
            is_inside = of_hits == number
            by_item_group[label] = _group_means(rows[is_inside], ranks[is_inside], num_true, metrics, cutoffs)
    return Evaluation(users, values, groups, by_item_group)


def _hits(true_pairs: PairsOfUsers, block: slice, lists: Ranking) -> Int64Array:
    """The rows, ranks (from 1) and items of all hits in the lists of a block of users, `[3, hits]`."""
    positions, items = true_pairs.of_block(block)
    rows = torch.from_numpy(positions).to(lists.items.device)
    true_items = torch.from_numpy(items).to(lists.items.device)
    found, column = (lists.items[rows] == true_items[:, None]).nonzero(as_tuple=True)
    return torch.stack([rows[found] + block.start, column + 1, true_items[found]]).cpu().numpy()


def _group_means(
    rows: Int64Array, ranks: Int64Array, num_true: Int64Array, metrics: Sequence[str], cutoffs: Sequence[int]
) -> GroupMeans:
    """The means over the users with a ground truth, from the hits and the size of the ground truth of all users."""
    has_truth = num_true > 0
    if not has_truth.any():
        return GroupMeans(0, {f"{metric}@{k}": float("nan") for metric in metrics for k in cutoffs})
    new_rows = np.cumsum(has_truth) - 1
    values = _per_user(new_rows[rows], ranks, num_true[has_truth], metrics, cutoffs)
    return GroupMeans(int(has_truth.sum()), {key: float(value.mean()) for key, value in values.items()})


def _check(truth: Interactions, metrics: Sequence[str], cutoffs: Sequence[int]) -> None:
    for metric in metrics:
        if metric not in METRICS:
            raise ParameterError("metrics", repr(metric), f"one of {', '.join(METRICS)}")
    check_type("cutoffs", cutoffs, Sequence, "a list of whole numbers")
    if isinstance(cutoffs, str | bytes) or not all(isinstance(cutoff, Integral) for cutoff in cutoffs):
        raise ParameterError("cutoffs", repr(cutoffs), "a list of whole numbers")
    if not cutoffs or min(cutoffs) < 1 or max(cutoffs) > LONGEST_LIST:
        raise ParameterError("cutoffs", str(list(cutoffs)), f"at least one, each within 1..{LONGEST_LIST}")
    if not len(truth):
        raise InputError("ground truth", "no pairs", "at least one pair")


def _check_groups(truth: Interactions, groups: object, item_groups: object) -> None:
    check_type("groups", groups, (UserGroups, NoneType), "groups, such as UserGroups.by_quantile(run.train, 4)")
    if isinstance(groups, UserGroups) and len(groups.of_user) != truth.num_users:
        raise ParameterError("groups", f"groups of {len(groups.of_user):,} users", f"of {truth.num_users:,}")
    expected = "groups, such as ItemGroups.by_popularity(run.train, 4)"
    check_type("item_groups", item_groups, (ItemGroups, NoneType), expected)
    if isinstance(item_groups, ItemGroups) and len(item_groups.of_item) != truth.num_items:
        raise ParameterError("item_groups", f"groups of {len(item_groups.of_item):,} items", f"of {truth.num_items:,}")


def _per_user(
    rows: Int64Array, ranks: Int64Array, num_true: Int64Array, metrics: Sequence[str], cutoffs: Sequence[int]
) -> dict[str, Float64Array]:
    """Every metric at every cut-off `[n]`, from the rows and ranks (from 1) of all hits, sorted by row and rank."""
    n = len(num_true)
    first = np.searchsorted(rows, rows)  # position of the first hit of the row
    nth = np.arange(1, len(rows) + 1) - first  # number of the hit within its row, from 1
    longest = min(max(cutoffs), num_true.max(initial=0))
    discounts = 1 / np.log2(np.arange(2, longest + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])  # DCG of a list that begins with m hits, m = 0..longest

    def total(weights: Float64Array | None, within: npt.NDArray[np.bool_]) -> Float64Array:
        """The sum of the weights of some hits by row, or their number, `[n]`."""
        chosen = None if weights is None else weights[within]
        return np.bincount(rows[within], weights=chosen, minlength=n).astype(np.float64)

    values = {}
    for metric in metrics:
        for k in cutoffs:
            within = ranks <= k
            reachable = np.minimum(num_true, k)
            if metric == "recall":
                value = total(None, within) / num_true
            elif metric == "precision":
                value = total(None, within) / k
            elif metric == "ndcg":
                value = total(1 / np.log2(ranks + 1), within) / ideal[reachable]
            elif metric == "map":
                value = total(nth / ranks, within) / reachable
            elif metric == "mrr":
                value = total(1 / ranks, within & (nth == 1))
            else:
                value = total(None, within & (nth == 1))
            values[f"{metric}@{k}"] = value
    return values
