"""Users and histories of a request, translated from ids to numbers."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from prismrec.errors import InputError, ParameterError, check_choice, check_flag
from prismrec.retrieval.catalog import named
from prismrec.retrieval.ranking import Int64Array, pairs_of_users
from prismrec.retrieval.search import check_length
from prismrec.types import Interactions, Vocabulary

Unknown = Literal["popular", "refuse"]
"""How to treat users and histories that the model knows nothing about: popular items, or an error."""


@dataclass(frozen=True)
class Audience:
    """n users or visitors.

    Attributes:
        users: user numbers `[n]`; -1 for a visitor.
        clicks: items that they clicked beside those in the run; n × I.
        ignored: unknown item ids in their histories.
    """

    users: Int64Array
    clicks: Interactions
    ignored: tuple[Hashable, ...] = ()

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def of_users(cls, users: Int64Array, num_items: int) -> "Audience":
        """Users of the run, by number, without other clicks."""
        return cls(users, Interactions.from_pairs([], [], len(users), num_items))

    def without_clicks(self) -> "Audience":
        """The same users and visitors with what the run knows of them."""
        return Audience.of_users(self.users, self.clicks.num_items)

    def history(self, parts: Sequence[Interactions]) -> Interactions:
        """The clicks together with the pairs of the users in `parts`, n × I."""
        known = np.flatnonzero(self.users >= 0)
        rows = [self.clicks.users.astype(np.int64)]
        items = [self.clicks.items]
        for part in parts:
            positions, numbers = pairs_of_users(self.users[known], part).of_block(slice(0, len(known)))
            rows.append(known[positions])
            items.append(numbers)
        return Interactions.from_pairs(np.concatenate(rows), np.concatenate(items), len(self), self.clicks.num_items)


def find_audience(
    users: Vocabulary,
    items: Vocabulary,
    user_ids: Sequence[Hashable] | None,
    histories: Sequence[Sequence[Hashable]] | None,
    unknown: Unknown | None,
) -> Audience:
    """The audience of a request.

    Args:
        users: the users of the run.
        items: the items of the run.
        user_ids: n user ids; None for visitors.
        histories: n lists of item ids; None for none.
        unknown: "popular" lets unknown users and histories without a known item pass; otherwise they are errors, which
            mention "popular" unless it was refused.

    Raises:
        InputError: a user is unknown, or a history has no known item.
        ParameterError: users and histories differ in number.
    """
    _check_unknown(unknown)
    if user_ids is not None and histories is not None and len(user_ids) != len(histories):
        raise ParameterError("histories", f"{len(histories)} histories for {len(user_ids)} users", "one for each user")
    if user_ids is None:
        numbers = np.full(len(histories or ()), -1)
    elif unknown == "popular":
        numbers = np.array([users.number(each) if each in users else -1 for each in user_ids], dtype=np.int64)
    else:
        numbers = np.array([_number_of(each, users, unknown) for each in user_ids], dtype=np.int64)
    if histories is None:
        return Audience.of_users(numbers, len(items))
    rows: list[int] = []
    clicked: list[int] = []
    ignored: list[Hashable] = []
    for row, history in enumerate(histories):
        known = [each for each in history if each in items]
        ignored += [each for each in history if each not in items]
        if user_ids is None and unknown != "popular" and not known:
            found = f"only unknown item ids: {named(history)}" if history else "no item"
            raise InputError(_name(row, len(histories)), found, _expected(items) + _advice(unknown))
        rows += [row] * len(known)
        clicked += [items.number(each) for each in known]
    clicks = Interactions.from_pairs(rows, clicked, len(numbers), len(items))
    try:
        return Audience(numbers, clicks, tuple(dict.fromkeys(ignored)))
    except TypeError as error:  # an id that is not hashable
        raise ParameterError("histories", str(error), _expected(items)) from None


def _number_of(user: Hashable, users: Vocabulary, unknown: Unknown | None) -> int:
    try:
        return users.number(user)
    except InputError as error:
        raise InputError(error.where, error.found, error.expected + _advice(unknown)) from None


def _advice(unknown: Unknown | None) -> str:
    """What to do about an unknown user or history, if the request leaves this open."""
    return "; or unknown='popular' (--unknown popular) for popular items" if unknown is None else ""


def _name(row: int, count: int) -> str:
    return "history" if count == 1 else f"history {row + 1} of {count}"


def _expected(items: Vocabulary) -> str:
    example = f", such as {items.id(0)!r}" if len(items) else ""
    return f"ids of items that the run knows{example}"


def check_request(k: int, seen: bool, unknown: Unknown | None) -> None:
    """Refuse arguments of a recommendation that cannot be used.

    Raises:
        ParameterError: k is no whole number or below 1, `seen` is no truth value, or `unknown` is unknown.
    """
    check_length(k)
    check_flag("seen", seen)
    _check_unknown(unknown)


def _check_unknown(unknown: Unknown | None) -> None:
    if unknown is not None:
        check_choice("unknown", unknown, get_args(Unknown))
