"""Match the weights of two models of one class that have different users and items."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prismrec.data.ids import positions
from prismrec.errors import InputError
from prismrec.types import Vocabulary

LARGER = (1, 2)
"""How many more users and items the larger model of `match_weights` has."""


@dataclass(frozen=True, eq=False)
class RowMatch:
    """The rows that two matrices have in common.

    Attributes:
        old: rows of the first matrix, `[n]`.
        new: the same rows in the second matrix, `[n]`.
        num_old: number of rows of the first matrix.
        num_new: number of rows of the second matrix.
    """

    old: Tensor
    new: Tensor
    num_old: int
    num_new: int

    @classmethod
    def by_id(cls, old: Vocabulary, new: Vocabulary) -> "RowMatch":
        """The rows with the same id."""
        places = positions(new.ids, old.ids)
        rows = torch.from_numpy(places.is_not_null().arg_true().to_numpy().astype("int64"))
        return cls(torch.from_numpy(places.drop_nulls().to_numpy().astype("int64")), rows, len(old), len(new))

    @classmethod
    def identity(cls, length: int) -> "RowMatch":
        """All rows, in the same order."""
        rows = torch.arange(length)
        return cls(rows, rows, length, length)

    def followed_by(self, other: "RowMatch") -> "RowMatch":
        """The match of stacked matrices: the rows of this match, then those of the other one."""
        return RowMatch(
            torch.cat([self.old, self.num_old + other.old]),
            torch.cat([self.new, self.num_new + other.new]),
            self.num_old + other.num_old,
            self.num_new + other.num_new,
        )

    def equals(self, other: "RowMatch") -> bool:
        """Whether the same rows are matched."""
        return torch.equal(self.old, other.old) and torch.equal(self.new, other.new)

    def copy(self, old: Tensor, new: Tensor) -> None:
        """Copy the rows of `old` that are matched into `new`."""
        torch.atleast_1d(new)[self.new.to(new.device)] = torch.atleast_1d(old)[self.old].to(new)


@dataclass(frozen=True)
class WeightCopy:
    """Copies weights into a model.

    Attributes:
        weights: of an earlier model.
        matches: the rows that both models have in common, by name of the weight.
    """

    weights: Mapping[str, Tensor]
    matches: Mapping[str, RowMatch]

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> None:
        """Copy; all other rows keep their values."""
        parameters = dict(model.named_parameters())
        for name, match in self.matches.items():
            match.copy(self.weights[name], parameters[name])


def match_weights(
    old: Mapping[str, Tensor],
    new: Mapping[str, Tensor],
    users: RowMatch,
    items: RowMatch,
    larger: Callable[[], Mapping[str, Tensor]] | None = None,
) -> dict[str, RowMatch]:
    """The rows that the weights of two models have in common, by name of the weight.

    The rows of a weight belong to users, to items, to users followed by items, or to neither. The number of rows shows
    which. If several of these numbers are equal, the number of rows in a larger model shows it. A weight whose rows
    belong to neither must have the same shape in both models; a scalar counts as one row.

    Args:
        old: weights to copy from.
        new: weights to copy to.
        users: the users that both models have.
        items: the items that both models have.
        larger: the weights of a model like `new` with one more user and two more items (`LARGER`). Not needed if the
            users and items of `old` come first in `new`, in the same order.

    Returns:
        The matches, without weights that `old` lacks or has in another shape.

    Raises:
        InputError: the rows of users or items have another width.
    """
    by_growth = {LARGER[0]: users, LARGER[1]: items, sum(LARGER): users.followed_by(items)}
    matches = {}
    for name, weight in new.items():
        if name not in old or old[name].ndim != weight.ndim:
            continue
        same_width = old[name].shape[1:] == weight.shape[1:]
        size = (_length(old[name]), _length(weight))
        fitting = [match for match in by_growth.values() if (match.num_old, match.num_new) == size]
        if size[0] == size[1]:
            fitting.append(RowMatch.identity(size[0]))
        if larger and len(fitting) > 1 and not (same_width and all(each.equals(fitting[0]) for each in fitting)):
            rows = by_growth.get(_length(larger()[name]) - size[1], fitting[-1])
            fitting = [match for match in fitting if match is rows]
        if fitting and same_width:
            matches[name] = fitting[0]
        elif fitting and any(fitting[0] is match for match in by_growth.values()):
            raise InputError(f"weight {name!r}", f"rows {list(old[name].shape[1:])}", f"rows {list(weight.shape[1:])}")
    return matches


def _length(weight: Tensor) -> int:
    return len(weight) if weight.ndim else 1
