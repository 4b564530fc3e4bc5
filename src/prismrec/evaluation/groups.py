"""Partitions of users by activity and of items by popularity, and the means of metrics in their parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from prismrec.errors import InputError, ParameterError, check_type
from prismrec.types import Interactions

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GroupMeans:
    """The number of evaluated users in a group, and their mean metrics by key; NaN for an empty group."""

    num_users: int
    means: Mapping[str, float]

    def to_dict(self) -> dict[str, float]:
        """The number of users as "users", then the means."""
        return {"users": self.num_users, **self.means}


@dataclass(frozen=True, eq=False)
class UserGroups:
    """A partition of the users, usually by activity.

    Attributes:
        labels: the name of each group.
        of_user: the group number of each user, `[U]`.
    """

    labels: tuple[str, ...]
    of_user: Int64Array

    @classmethod
    def by_degree(cls, train: Interactions, edges: Sequence[int]) -> "UserGroups":
        """Groups by number of training items, `[0, edge), [edge, next edge), …, [last edge, ∞)`.

        Raises:
            InputError: the edges do not ascend, or the first is below 1.
        """
        return cls(*_by_degree(train.user_degrees, edges))

    @classmethod
    def by_quantile(cls, train: Interactions, groups: int) -> "UserGroups":
        """Groups of about equally many users. Users with equal degrees share a group, so there may be fewer groups.

        Raises:
            ParameterError: `groups` is below 1.
        """
        return cls.by_degree(train, _even_edges(train.user_degrees, np.ones(train.num_users), groups))


@dataclass(frozen=True, eq=False)
class ItemGroups:
    """A partition of the items, usually by popularity.

    Attributes:
        labels: the name of each group.
        of_item: the group number of each item, `[I]`.
    """

    labels: tuple[str, ...]
    of_item: Int64Array

    @classmethod
    def by_degree(cls, train: Interactions, edges: Sequence[int]) -> "ItemGroups":
        """Groups by number of training users, `[0, edge), [edge, next edge), …, [last edge, ∞)`.

        Raises:
            InputError: the edges do not ascend, or the first is below 1.
        """
        return cls(*_by_degree(train.item_degrees, edges))

    @classmethod
    def by_popularity(cls, train: Interactions, groups: int) -> "ItemGroups":
        """Groups that have about equally many training interactions each, from rare to popular items.

        Items with equal degrees share a group, so there may be fewer groups.

        Raises:
            ParameterError: `groups` is below 1.
        """
        return cls.by_degree(train, _even_edges(train.item_degrees, train.item_degrees, groups))


def _even_edges(degrees: Int64Array, weights: npt.NDArray[Any], groups: int) -> list[int]:
    """The edges between groups of nodes whose sums of weights are as equal as possible.

    Raises:
        ParameterError: `groups` is no whole number or below 1.
    """
    check_type("groups", groups, Integral, "a whole number, 1 or more")
    if groups < 1:
        raise ParameterError("groups", str(groups), "1 or more")
    values, of_node = np.unique(degrees, return_inverse=True)
    below = np.cumsum(np.bincount(of_node, weights=weights))[:-1]  # weight of the nodes below each value but the first
    if not len(below):
        return []
    groups = min(groups, len(degrees))  # more of them give the same edges
    parts = weights.sum() * np.arange(1, groups) / groups
    nearest = np.abs(below[:, None] - parts).argmin(0)
    return [int(value) for value in values[1:][np.unique(nearest)]]


def _by_degree(degrees: Int64Array, edges: Sequence[int]) -> tuple[tuple[str, ...], Int64Array]:
    """The labels of the groups, and the group number of each degree."""
    bounds = [0, *edges]
    if any(low >= high for low, high in pairwise(bounds)):
        raise InputError("group edges", str(list(edges)), "ascending numbers from 1 on")
    labels = [f"{low}-{high - 1}" if high - low > 1 else str(low) for low, high in pairwise(bounds)]
    numbers = np.searchsorted(np.asarray(edges, dtype=np.int64), degrees, side="right")
    return (*labels, f"{bounds[-1]}+"), numbers
