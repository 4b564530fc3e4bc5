"""What a run recommends, with ids: users, visitors, filters, similar items, reasons, and what it refuses."""

import datetime
import re
import warnings
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from prismrec.errors import InputError, ParameterError
from prismrec.records import Settings
from prismrec.retrieval.features import unit_features
from prismrec.runs import Manifest, Run
from prismrec.runs.bulk import BulkRequest, block_table
from prismrec.types import Embeddings, Interactions, Vocabulary

USERS, ITEMS = 40, 30
COLD = USERS - 1
BRANDS = ["acme", "bolt", "core"]


@pytest.fixture(scope="module")
def run() -> Run:
    """Random embeddings; each user but the last has five training items, one validation item and one test item."""
    rng = np.random.default_rng(0)
    items = rng.permuted(np.tile(np.arange(ITEMS), (COLD, 1)), axis=1)  # [U - 1, I]
    users = np.arange(COLD)
    features = {"image": rng.standard_normal((ITEMS, 6)).astype(np.float32)}
    present = {"image": np.arange(ITEMS) != 4}
    catalog = pl.DataFrame(
        {
            "title": [f"Item {number}" for number in range(ITEMS)],
            "price": [float(number) for number in range(ITEMS)],
            "brand": [BRANDS[number % 3] for number in range(ITEMS)],
            "added": [datetime.date(2026, 1, 1) + datetime.timedelta(days=number) for number in range(ITEMS)],
        }
    )
    return Run(
        folder=None,
        manifest=Manifest(
            model="none",
            config={},
            settings=Settings(),
            data="random",
            fingerprint="",
            notes=(),
            modalities={"image": 6},
            versions={},
        ),
        embeddings=Embeddings(
            torch.from_numpy(rng.standard_normal((USERS, 4), dtype=np.float32)),
            torch.from_numpy(rng.standard_normal((ITEMS, 4), dtype=np.float32)),
        ),
        users=Vocabulary([f"u{number}" for number in range(USERS)], "user"),
        items=Vocabulary([f"i{number}" for number in range(ITEMS)], "item"),
        train=Interactions.from_pairs(np.repeat(users, 5), items[:, :5].ravel(), USERS, ITEMS),
        valid=Interactions.from_pairs(users, items[:, 5], USERS, ITEMS),
        test=Interactions.from_pairs(users, items[:, 6], USERS, ITEMS),
        catalog=catalog,
        history=(),
        features=unit_features(features, present),
    )


def seen_by(run: Run, user: int) -> set[str]:
    return {run.items.id(item) for part in (run.train, run.valid, run.test) for item in part.items_of(user)}


def best(run: Run, user: int, allowed: set[str], k: int) -> list[str]:
    scores = (run.embeddings.items @ run.embeddings.users[user]).tolist()
    left = [number for number in range(ITEMS) if run.items.id(number) in allowed]
    return [run.items.id(number) for number in sorted(left, key=lambda number: -scores[number])[:k]]


ALL = {f"i{number}" for number in range(ITEMS)}


@pytest.mark.parametrize(
    ("filters", "allowed"),
    [
        ({}, ALL),
        ({"exclude": ["i3", "i8", "i3"]}, ALL - {"i3", "i8"}),
        ({"candidates": ["i9", "i2", "i5", "i2"]}, {"i2", "i5", "i9"}),
        ({"where": "price >= 20"}, {f"i{number}" for number in range(20, 30)}),
        ({"where": "brand = 'acme'", "candidates": ["i0", "i1", "i3"], "exclude": ["i3"]}, {"i0"}),
        ({"where": "price > 100"}, set()),
        ({"candidates": []}, set()),
    ],
)
@pytest.mark.parametrize("seen", [True, False])
def test_a_list_has_the_best_allowed_items(run: Run, filters: dict, allowed: set[str], seen: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tables = run.recommend(["u5", "u7", "u0"], k=6, seen=seen, **filters)
        alone = run.recommend("u7", k=6, seen=seen, **filters)
    for user in (5, 7, 0):
        expected = best(run, user, allowed - (set() if seen else seen_by(run, user)), 6)
        assert tables.filter(pl.col("user") == f"u{user}")["item"].to_list() == expected
    assert alone["item"].to_list() == best(run, 7, allowed - (set() if seen else seen_by(run, 7)), 6)


def test_fewer_items_than_asked_for_are_said_and_not_padded(run: Run) -> None:
    with pytest.warns(UserWarning, match="user 'u3' with fewer than 10 items left"):
        found = run.recommend("u3", candidates=["i1", "i2"], seen=True)
    assert len(found) == 2
    with pytest.warns(UserWarning, match="2 users, such as 'u3', without an item left"):
        assert run.recommend(["u3", "u4"], where="price < 0").is_empty()
    with pytest.warns(UserWarning, match="with fewer than 1,000,000,000 items left"):
        assert len(run.recommend("u3", k=10**9)) == ITEMS - 7


NAMED_LIKE_LISTS = ["user", "history", "similar_to", "rank", "item", "score", "item_score"]


def test_columns_named_like_those_of_lists_are_kept_with_a_prefix(run: Run) -> None:
    """Neither the table of lists nor the item table loses a column."""
    values = {name: [f"{name} of {number}" for number in range(ITEMS)] for name in NAMED_LIKE_LISTS}
    named = replace(run, catalog=pl.DataFrame(values))
    shown = {
        "item_user": "user", "item_history": "history", "item_similar_to": "similar_to", "item_rank": "rank",
        "item_item": "item", "item_item_score": "score", "item_score": "item_score",
    }  # fmt: skip
    for table in (
        named.recommend("u1", k=3),
        named.recommend(["u1", "u2"], k=3),
        named.recommend(histories=[["i1"], ["i2"]], k=3),
        named.similar(["i1", "i2"], k=3),
        block_table(named, BulkRequest(k=3, columns=tuple(NAMED_LIKE_LISTS)), 0),
    ):
        for row in table.iter_rows(named=True):
            number = row["item"].removeprefix("i")
            assert {new: row[new] for new in shown} == {new: f"{old} of {number}" for new, old in shown.items()}
    assert named.recommend("u1", k=3, columns=["rank"]).columns == ["rank", "item", "score", "item_rank"]
    assert named.recommend("u1", k=3)["score"].to_list() == run.recommend("u1", k=3)["score"].to_list()


def test_at_most_limits_the_items_of_a_brand(run: Run) -> None:
    found = run.recommend(["u1", "u2"], k=5, at_most={"brand": 2})
    assert found.group_by("user", "brand").len()["len"].max() <= 2
    assert found.group_by("user").len()["len"].to_list() == [5, 5]
    with pytest.warns(UserWarning, match="fewer than 8 items"):
        assert len(run.recommend("u1", k=8, at_most={"brand": 2})) == 6


def test_newest_gives_a_floor_of_new_items(run: Run) -> None:
    date = datetime.date(2026, 1, 25)
    for user in ("u1", "u2", "u3"):
        found = run.recommend(user, k=6, newest=("added", date, 3), seen=True)
        assert found.equals(run.recommend(user, k=6, newest=("added", "2026-01-25", 3), seen=True))
        assert (found["added"] > date).sum() >= 3
        assert found["score"].is_sorted(descending=True)
        assert found["item"][0] == run.recommend(user, k=6, seen=True)["item"][0]
    with pytest.warns(UserWarning, match="fewer than"):
        assert len(run.recommend("u1", k=6, newest=("added", date, 3), where="price < 2", seen=True)) == 2


def test_a_visitor_gets_the_list_of_the_history_without_its_items(run: Run) -> None:
    found = run.recommend(histories=["i1", "i2"], k=5)
    assert found.columns[:3] == ["rank", "item", "score"]
    assert not {"i1", "i2"} & set(found["item"])
    both = run.recommend(histories=[["i1", "i2"], ["i7"]], k=5)
    assert both["history"].to_list() == [0] * 5 + [1] * 5
    assert both["item"].to_list()[:5] == found["item"].to_list()
    assert {"i1", "i2"} & set(run.recommend(histories=["i1", "i2"], k=ITEMS, seen=True)["item"])


def added(pairs: Interactions, user: int, item: str) -> Interactions:
    users, items = np.append(pairs.users, user), np.append(pairs.items, int(item[1:]))
    return Interactions.from_pairs(users, items, USERS, ITEMS)


def test_further_clicks_of_a_user_change_the_list_and_are_left_out_of_it(run: Run) -> None:
    before = run.recommend("u1", k=5)
    click = before["item"][0]
    after = run.recommend("u1", histories=[click], k=5)
    assert click not in set(after["item"])
    assert not seen_by(run, 1) & set(after["item"])
    train = {run.items.id(item) for item in run.train.items_of(1)}
    moved = replace(run, train=added(run.train, 1, click))  # the same click in the training data moves the user
    embed = run.newcomers.embed_users
    change = embed(moved.train.of_users(np.array([1]))) - embed(run.train.of_users(np.array([1])))
    scores = run.embeddings.items @ (run.embeddings.users[1] + change[0])
    found = [float(scores[run.items.number(item)]) for item in after["item"]]
    np.testing.assert_allclose(after["score"], found, rtol=1e-4)
    assert click not in train
    mixed = run.recommend(["u1", "u2"], histories=[[click], []], k=5)
    assert mixed.filter(pl.col("user") == "u2")["item"].to_list() == run.recommend("u2", k=5)["item"].to_list()


def test_users_without_a_vector_get_popular_items_under_the_same_filters(run: Run) -> None:
    with pytest.warns(UserWarning, match=r"user 'u39' without a training interaction: the most popular items"):
        found = run.recommend("u39", k=4, where="price < 9")
    degrees = run.train.item_degrees[:9]
    expected = sorted(range(9), key=lambda number: -degrees[number])[:4]
    assert found["item"].to_list() == [f"i{number}" for number in expected]
    assert found["score"].to_list() == [degrees[number] for number in expected]
    with pytest.raises(InputError, match="user 'u39': found no training interaction"):
        run.recommend(["u1", "u39"], unknown="refuse")


def test_popular_accepts_unknown_users_and_histories(run: Run) -> None:
    with pytest.warns(UserWarning, match="the most popular items"):
        found = run.recommend(["u1", "nobody"], k=3, unknown="popular")
    assert found["user"].to_list() == ["u1"] * 3 + ["nobody"] * 3
    with pytest.warns(UserWarning, match="ignored unknown item ids in the histories: 'nothing'"):
        visitors = run.recommend(histories=[["nothing"], [], ["i1"]], k=2, unknown="popular")
    assert visitors["history"].to_list() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(InputError, match="history 1 of 2: found only unknown item ids: 'nothing'"):
        run.recommend(histories=[["nothing"], ["i1"]], unknown="refuse")


def test_unknown_items_of_a_history_are_named_and_ignored(run: Run) -> None:
    with pytest.warns(UserWarning, match="ignored unknown item ids in the histories: 'x', 'y'"):
        found = run.recommend(histories=["x", "i1", "y", "i2"], k=5)
    assert found["item"].to_list() == run.recommend(histories=["i1", "i2"], k=5)["item"].to_list()
    with pytest.warns(UserWarning, match="ignored unknown item ids in the histories: 'x', 'y'") as caught:
        reasons = run.explain(None, ["i3"], history=["x", "i1", "y", "i2"])
    assert caught[0].filename == __file__
    assert reasons.equals(run.explain(None, ["i3"], history=["i1", "i2"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"users": "nobody"}, "found 'nobody'; expected one of 40 known ids, such as 'u0'; or unknown='popular'"),
        ({"users": "U7 "}, "user id: found 'U7 '; expected one of 40 known ids, such as 'u7'"),
        ({"users": ["u1", "nobody"]}, "user id: found 'nobody'"),
        ({"k": 0}, "k: found 0; expected 1 or more"),
        ({"exclude": ["i1", "x"]}, "exclude: found 'x'; expected item ids, such as 'i0'"),
        ({"exclude": "i1"}, "exclude: found 'i1'; expected a list"),
        ({"candidates": ["a", "b", "c", "d"]}, "candidates: found 'a', 'b', 'c' and 1 more"),
        ({"candidates": "i1"}, "candidates: found 'i1'; expected a list"),
        ({"where": "cost < 3"}, "where: found column 'cost'"),
        ({"where": "delete from items"}, "where: found 'delete from items'"),
        ({"at_most": {"brand": 0}}, "at_most: found 0 for column 'brand'; expected 1 or more"),
        ({"at_most": {"maker": 1}}, "at_most: found column 'maker'"),
        ({"newest": ("added", datetime.date(2026, 1, 1), 0)}, "newest: found 0 items"),
        ({"newest": ("price", datetime.date(2026, 1, 1), 1)}, "newest: found column 'price' of Float64"),
        ({"diversity": 1.5}, "diversity: found 1.5; expected a number within 0..1"),
        ({"columns": ["cost"]}, "columns: found 'cost'; expected columns of the item table (title, price"),
        ({"users": None, "histories": []}, "history: found no item"),
        ({"users": None, "histories": [["i1"], []]}, "history 2 of 2: found no item"),
        (
            {"users": None, "histories": ["x", "y"]},
            "history: found only unknown item ids: 'x', 'y'; expected ids of items",
        ),
        ({"users": None, "histories": "i1"}, "histories: found 'i1'; expected a list of item ids"),
        ({"users": None, "histories": [["i1"], "i2"]}, "histories: found the id 'i2' among lists"),
        ({"users": ["u1", "u2"], "histories": [["i1"]]}, "histories: found 1 histories for 2 users"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(run: Run, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        run.recommend(**{"users": "u1"} | arguments)


def test_similar_items_are_the_nearest_by_cosine(run: Run) -> None:
    items = run.embeddings.items
    unit = items / items.norm(dim=1, keepdim=True)
    cosines = unit @ unit[6]
    expected = [f"i{n}" for n in cosines.argsort(descending=True).tolist() if n != 6][:5]
    found = run.similar("i6", 5)
    assert found["item"].to_list() == expected
    np.testing.assert_allclose(found["score"][0], cosines[int(expected[0][1:])], rtol=1e-5)
    several = run.similar(["i6", "i7"], 5, where="price < 15")
    assert several["similar_to"].to_list() == ["i6"] * 5 + ["i7"] * 5
    assert several["price"].max() < 15


def test_only_recommend_offers_popular_items_for_an_unknown_user(run: Run) -> None:
    for ask in (
        lambda user: run.recommend(user, unknown="refuse"),
        run.similar_users,
        lambda user: run.explain(user, ["i1"]),
        lambda user: run.score([user], ["i1"]),
    ):
        with pytest.raises(InputError, match=r"known ids, such as 'u0'$"):
            ask("nobody")


def test_cosines_of_equal_and_opposite_features_are_within_1(run: Run) -> None:
    rows = np.random.default_rng(0).standard_normal((1, 200)).astype(np.float32)
    features = {"image": np.concatenate([rows] * (ITEMS - 1) + [-rows])}
    unit = unit_features(features, {"image": np.ones(ITEMS, dtype=np.bool_)})
    assert (unit["image"][0].float() @ unit["image"][0].float()).item() > 1  # as float16 rounds these
    alike = replace(run, features=unit)
    found = alike.similar("i0", ITEMS - 1, by="image")["score"]
    assert found.max() == 1
    assert found.min() == -1
    reasons = alike.explain(None, ["i0", f"i{ITEMS - 1}"], history=["i1"])["image_cosine"]
    assert reasons.to_list() == [1, -1]


def test_similar_items_by_a_modality_are_those_that_have_it(run: Run) -> None:
    rows = run.features["image"].float()
    cosines = (rows @ rows[6]).tolist()
    expected = [f"i{n}" for n in sorted(range(ITEMS), key=lambda n: -cosines[n]) if n not in (4, 6)]
    with pytest.warns(UserWarning, match="fewer than 100 items"):
        found = run.similar("i6", 100, by="image")
    assert found["item"].to_list() == expected
    assert run.similar("i6", 3, by="image", where="price > 5", at_most={"brand": 1})["brand"].n_unique() == 3
    with pytest.raises(InputError, match="item 'i4': found no image features"):
        run.similar("i4", by="image")
    with pytest.raises(ParameterError, match=r"by: found 'sound'; expected 'model', or .* \('image'\)"):
        run.similar("i6", by="sound")
    with pytest.raises(ParameterError, match=r"features the run has \(none\)"):
        replace(run, features={}).similar("i6", by="image")
    with pytest.raises(InputError, match="items: found 'x'"):
        run.similar("x")


def test_similar_users_are_trained_users(run: Run) -> None:
    found = run.similar_users("u1", 100)
    assert set(found["user"]) == {f"u{number}" for number in range(COLD)} - {"u1"}
    unit = run.embeddings.users / run.embeddings.users.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(found["score"][0], (unit[:COLD] @ unit[1])[[n for n in range(COLD) if n != 1]].max())
    with pytest.raises(InputError, match="user 'u39': found no training interaction"):
        run.similar_users(["u1", "u39"])


def test_scores_of_pairs_are_inner_products(run: Run) -> None:
    found = run.score(["u1", "u2"], ["i3", "i3"])
    np.testing.assert_allclose(found["score"], run.embeddings.scores([1, 2])[:, 3], rtol=1e-5)
    with pytest.raises(InputError, match="found 1 items for 2 users"):
        run.score(["u1", "u2"], ["i3"])


def test_reasons_name_the_items_of_the_history(run: Run) -> None:
    history = ["i9", "i2", "i4"]
    recommended = run.recommend(histories=history, k=2)
    found = run.explain(None, recommended["item"].to_list(), history=history)
    assert found["item"].unique(maintain_order=True).to_list() == recommended["item"].to_list()
    assert set(found["clicked"]) == set(history)
    assert found["exact"].all()
    for item, score in recommended.select("item", "score").iter_rows():
        part = found.filter(pl.col("item") == item)
        assert part["contribution"].is_sorted(descending=True)
        np.testing.assert_allclose(part["contribution"].sum(), score, rtol=1e-4)
        np.testing.assert_allclose(part["score"][0], score, rtol=1e-5)
    without_image = found.filter(pl.col("clicked") == "i4")
    assert without_image["image_cosine"].null_count() == len(without_image)
    assert set(without_image["alike"]) == {None}
    assert set(found.filter(pl.col("clicked") != "i4")["alike"]) == {"image"}


def test_reasons_for_a_user_are_an_approximation_from_the_training_items(run: Run) -> None:
    found = run.explain("u1", "i9")
    assert set(found["clicked"]) == {run.items.id(item) for item in run.train.items_of(1)}
    assert not found["exact"].any()
    with pytest.raises(InputError, match="user 'u39': found no training interaction"):
        run.explain("u39", "i1")
    with pytest.raises(InputError, match="items: found 'x'"):
        run.explain("u1", ["x"])


def test_all_users_are_the_default(run: Run) -> None:
    with pytest.warns(UserWarning, match="popular"):
        assert run.recommend(k=2)["user"].n_unique() == USERS
