"""Rows of weights are matched by what they belong to."""

import pytest
import torch
from torch import Tensor

from prismrec.errors import InputError
from prismrec.experiments.matching import LARGER, RowMatch, match_weights
from prismrec.types import Vocabulary


def rows(*values: float, width: int = 2) -> Tensor:
    return torch.tensor(values)[:, None].expand(-1, width).clone()


def by_id(old: str, new: str) -> RowMatch:
    return RowMatch.by_id(Vocabulary(old.split()), Vocabulary(new.split()))


def copied(old: dict[str, Tensor], new: dict[str, Tensor], users: RowMatch, items: RowMatch) -> dict[str, list[float]]:
    """The first column of each weight after copying; a larger model has rows for one more user and two more items."""

    def larger() -> dict[str, Tensor]:
        growth = {"users": LARGER[0], "items": LARGER[1], "nodes": sum(LARGER)}
        return {name: torch.empty(len(x) + growth.get(name, 0), 2) for name, x in new.items() if x.ndim}

    result = {name: weight.clone() for name, weight in new.items()}
    for name, match in match_weights(old, new, users, items, larger).items():
        match.copy(old[name], result[name])
    return {name: torch.atleast_2d(weight)[:, 0].tolist() for name, weight in result.items()}


def test_rows_follow_their_ids_and_new_rows_stay() -> None:
    old = {"users": rows(1, 2, 3), "items": rows(4, 5), "nodes": rows(1, 2, 3, 4, 5), "map": rows(7, 8, 9, 10, 11, 12)}
    new = {"users": rows(0, 0), "items": rows(0, 0, 0), "nodes": rows(0, 0, 0, 0, 0), "map": rows(0, 0, 0, 0, 0, 0)}
    users = by_id("ann bob cid", "dan bob")
    items = by_id("cup mug", "mug jar cup")
    assert copied(old, new, users, items) == {
        "users": [0, 2],
        "items": [5, 0, 4],
        "nodes": [0, 2, 5, 0, 4],
        "map": [7, 8, 9, 10, 11, 12],
    }


def test_equal_numbers_of_users_items_and_other_rows_are_told_apart() -> None:
    old = {"users": rows(1, 2), "items": rows(3, 4), "map": rows(5, 6), "nodes": rows(1, 2, 3, 4)}
    new = {name: torch.zeros_like(weight) for name, weight in old.items()}
    users = by_id("ann bob", "bob ann")
    items = by_id("cup mug", "cup jar")
    assert copied(old, new, users, items) == {
        "users": [2, 1],
        "items": [3, 0],
        "map": [5, 6],
        "nodes": [2, 1, 3, 0],
    }


def test_a_weight_of_another_shape_or_name_is_left_out() -> None:
    old = {"hyperedges": rows(1, 2, 3, 4), "scale": torch.tensor(2.0), "flat": torch.ones(5)}
    new = {"hyperedges": rows(0, 0), "scale": torch.tensor(0.0), "flat": torch.zeros(5, 1), "other": rows(9)}
    users = by_id("ann", "ann bob bea")
    assert copied(old, new, users, users) == {"hyperedges": [0, 0], "scale": [2], "flat": [0] * 5, "other": [9]}


def test_a_map_as_long_as_the_users_may_have_another_width() -> None:
    same = by_id("ann bob", "ann bob")
    items = by_id("cup", "cup")
    old = {"users": rows(1, 2), "map": rows(1, 2, width=3)}
    new = {"users": rows(0, 0), "map": rows(0, 0)}
    assert copied(old, new, same, items) == {"users": [1, 2], "map": [0, 0]}


def test_rows_of_another_width_are_refused() -> None:
    users = by_id("ann bob cid", "ann bob")
    with pytest.raises(InputError, match=r"weight 'users': found rows \[3\]; expected rows \[2\]"):
        copied({"users": rows(1, 2, 3, width=3)}, {"users": rows(0, 0)}, users, by_id("cup", "mug"))


@pytest.mark.parametrize("together", [False, True])
def test_old_rows_keep_their_place_when_a_run_grows(together: bool) -> None:
    old = {"users": rows(0, 1, 2), "items": rows(10, 11, 12, 13)}
    new = {"users": rows(*[-1] * 5), "items": rows(*[-1] * 6)}
    if together:
        old["nodes"] = torch.cat([old["users"], old["items"]])
        new["nodes"] = torch.cat([new["users"], new["items"]])
    result = copied(old, new, by_id("a b c", "a b c d e"), by_id("k l m n", "k l m n o p"))
    assert result["users"] == [0, 1, 2, -1, -1]
    assert result["items"] == [10, 11, 12, 13, -1, -1]
    if together:
        assert result["nodes"] == [*result["users"], *result["items"]]
