import json
from math import log2

import numpy as np
import pytest
import ranx
import torch
from hypothesis import given
from hypothesis import strategies as st

from prismrec.errors import InputError
from prismrec.evaluation import METRICS, ItemGroups, UserGroups, evaluate
from prismrec.types import Embeddings, Interactions


def pairs(matrix: np.ndarray) -> Interactions:
    return Interactions.from_pairs(*np.nonzero(matrix), *matrix.shape)


def plain_metrics(scores, masked, true, k):
    """The definitions of docs/evaluation.md for one user, item by item."""
    candidates = [item for item in range(len(scores)) if not masked[item]]
    ranked = sorted(candidates, key=lambda item: (-scores[item], item))[:k]
    hits = dcg = precisions = reciprocal = 0.0
    for position, item in enumerate(ranked, start=1):
        if true[item]:
            hits += 1
            dcg += 1 / log2(position + 1)
            precisions += hits / position
            reciprocal = reciprocal or 1 / position
    reachable = min(k, sum(true))
    return {
        "recall": hits / sum(true),
        "precision": hits / k,
        "ndcg": dcg / sum(1 / log2(position + 1) for position in range(1, reachable + 1)),
        "map": precisions / reachable,
        "mrr": reciprocal,
        "hit": float(hits > 0),
    }


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 30)),
    cutoffs=st.lists(st.integers(1, 40), min_size=1, max_size=3, unique=True),
    masked=st.sampled_from([0.0, 0.5, 1.0]),
    relevant=st.sampled_from([0.1, 0.9]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_metric_equals_its_definition_also_with_ties(shape, cutoffs, masked, relevant, seed):
    rng = np.random.default_rng(seed)
    users = rng.integers(-1, 2, (shape[0], 2)).astype(np.float32)
    items = rng.integers(-1, 2, (shape[1], 2)).astype(np.float32)
    hidden, true = rng.random(shape) < masked, rng.random(shape) < relevant
    true[0, 0] = True  # an empty ground truth is refused

    found = evaluate(
        Embeddings(torch.from_numpy(users), torch.from_numpy(items)),
        pairs(true),
        mask=[pairs(hidden)],
        metrics=METRICS,
        cutoffs=cutoffs,
    )

    counted = np.flatnonzero(true.any(axis=1))
    assert found.users.tolist() == counted.tolist()
    for k in cutoffs:
        expected = [plain_metrics(users[u] @ items.T, hidden[u], true[u], k) for u in counted]
        for metric in METRICS:
            values = [row[metric] for row in expected]
            np.testing.assert_allclose(found.per_user[f"{metric}@{k}"], values, rtol=0, atol=1e-12)
            assert found.mean(metric, k) == pytest.approx(np.mean(values), abs=1e-12)


def random_case():
    rng = np.random.default_rng(0)
    shape = (60, 200)
    users = torch.from_numpy(rng.standard_normal((60, 8), dtype=np.float32))
    items = torch.from_numpy(rng.standard_normal((200, 8), dtype=np.float32))
    # Users have between one true item and many more than any cut-off.
    true = rng.random(shape) < np.linspace(0.005, 0.5, 60)[:, None]
    train = (rng.random(shape) < 0.1) & ~true
    return Embeddings(users, items), train, true


def test_metrics_agree_with_ranx_for_every_user():
    embeddings, train, true = random_case()
    cutoffs = (5, 20, 50)
    found = evaluate(embeddings, pairs(true), mask=[pairs(train)], metrics=METRICS, cutoffs=cutoffs)

    scores = embeddings.scores().double().numpy()
    qrels = {str(u): {str(i): 1 for i in np.flatnonzero(true[u])} for u in found.users}
    run = {str(u): {str(i): scores[u, i] for i in np.flatnonzero(~train[u])} for u in found.users}
    names = {f"{m}@{k}": f"{'hit_rate' if m == 'hit' else m}@{k}" for m in METRICS for k in cutoffs}
    peer = ranx.evaluate(
        ranx.Qrels(qrels),
        ranx.Run(run),
        list(names.values()),
        return_mean=False,
        make_comparable=True,
    )
    order = [list(qrels).index(u) for u in sorted(qrels)]  # ranx sorts the users as strings
    num_true = true[found.users].sum(axis=1)
    assert num_true.max() > max(cutoffs)
    for key, name in names.items():
        own = found.per_user[key]
        if name.startswith("map"):  # ranx divides by |truth|, we by min(k, |truth|)
            own = own * np.minimum(num_true, int(key.split("@")[1])) / num_true
        np.testing.assert_allclose(own[order], peer[name], rtol=0, atol=1e-9, err_msg=key)


def test_metrics_of_exact_scores_do_not_depend_on_the_block_size():
    rng = np.random.default_rng(0)
    users = torch.from_numpy(rng.integers(-2, 3, (60, 4))).float()
    items = torch.from_numpy(rng.integers(-2, 3, (200, 4))).float()
    embeddings = Embeddings(users, items)
    _, train, true = random_case()
    results = [
        evaluate(embeddings, pairs(true), mask=[pairs(train)], block_size=block_size).to_dict()
        for block_size in (None, 1, 7, 64)
    ]
    assert all(result == results[0] for result in results)


def test_metrics_are_one_for_perfect_scores_and_zero_if_the_truth_is_masked():
    true = np.eye(4, dtype=bool)
    embeddings = Embeddings(torch.eye(4), torch.eye(4))
    assert set(evaluate(embeddings, pairs(true), metrics=METRICS, cutoffs=[1]).values()) == {1.0}
    hidden = evaluate(embeddings, pairs(true), mask=[pairs(true)], metrics=METRICS, cutoffs=[1, 9])
    assert set(hidden.values()) == {0.0}


def test_an_evaluation_is_a_mapping_of_means_and_converts_to_json():
    embeddings, train, true = random_case()
    found = evaluate(embeddings, pairs(true), mask=[pairs(train)], metrics=["ndcg", "recall"], cutoffs=[10, 20])
    assert list(found) == ["ndcg@10", "ndcg@20", "recall@10", "recall@20"]
    assert found["recall@20"] == found.mean("recall", 20) == found.to_dict()["recall@20"]
    assert json.loads(json.dumps(found.to_dict())) == dict(found)
    assert found.num_users == len(found.users)


def test_groups_divide_the_users_and_their_means_average_to_the_total():
    embeddings, train, true = random_case()
    groups = UserGroups.by_degree(pairs(train), [12, 18])
    found = evaluate(embeddings, pairs(true), mask=[pairs(train)], groups=groups)
    parts = found.by_group()
    assert list(parts) == ["0-11", "12-17", "18+"]
    degrees = train.sum(axis=1)[found.users]
    middle = (degrees >= 12) & (degrees < 18)
    assert parts["12-17"].num_users == middle.sum() > 0
    assert parts["12-17"].means["ndcg@10"] == pytest.approx(found.per_user["ndcg@10"][middle].mean())
    weighted = sum(part.num_users * part.means["ndcg@10"] for part in parts.values())
    assert weighted / found.num_users == pytest.approx(found["ndcg@10"])


def test_an_empty_group_has_no_mean():
    embeddings, train, true = random_case()
    parts = evaluate(embeddings, pairs(true)).by_group(UserGroups.by_degree(pairs(train), [1, 10_000]))
    assert parts["10000+"].num_users == 0
    assert np.isnan(parts["10000+"].means["recall@20"])


def test_quantile_groups_have_similar_sizes_and_keep_equal_degrees_together():
    spread_out = pairs(np.tri(100, dtype=bool))  # degrees 1..100
    assert np.bincount(UserGroups.by_quantile(spread_out, 4).of_user).tolist() == [25, 25, 25, 25]
    few_without = pairs(np.tri(100, dtype=bool)[:, 1:].clip(max=1) & (np.arange(99) < 2))  # degrees 0, 1, 2, 2, 2, …
    assert UserGroups.by_quantile(few_without, 2).labels == ("0-1", "2+")
    alike = pairs(np.eye(10, dtype=bool))
    assert UserGroups.by_quantile(alike, 4).of_user.tolist() == [0] * 10
    assert UserGroups.by_quantile(spread_out, 10**30).of_user.tolist() == list(range(100))


def test_each_group_of_items_is_evaluated_as_if_only_its_items_were_held_out():
    embeddings, train, true = random_case()
    groups = ItemGroups.by_popularity(pairs(train), 3)
    found = evaluate(embeddings, pairs(true), mask=[pairs(train)], metrics=METRICS, item_groups=groups)
    assert tuple(found.by_item_group) == groups.labels
    assert len(groups.labels) == 3
    for number, label in enumerate(groups.labels):
        alone = evaluate(embeddings, pairs(true & (groups.of_item == number)), mask=[pairs(train)], metrics=METRICS)
        assert found.by_item_group[label].num_users == alone.num_users
        assert found.by_item_group[label].means == pytest.approx(dict(alone))


def test_a_group_of_items_that_nobody_has_held_out_has_no_mean():
    embeddings, train, true = random_case()
    groups = ItemGroups.by_degree(pairs(train), [1, 10_000])
    empty = evaluate(embeddings, pairs(true), item_groups=groups).by_item_group["10000+"]
    assert empty.num_users == 0
    assert np.isnan(empty.means["recall@20"])


def test_popularity_groups_have_similar_numbers_of_interactions_and_keep_equal_degrees_together():
    train = pairs(np.tri(100, dtype=bool))  # the item i has 100 - i users
    groups = ItemGroups.by_popularity(train, 4)
    shares = np.bincount(groups.of_item, weights=train.item_degrees) / len(train)
    assert shares == pytest.approx([0.25] * 4, abs=0.02)
    assert groups.of_item.tolist() == sorted(groups.of_item, reverse=True)
    alike = pairs(np.eye(10, dtype=bool))
    assert ItemGroups.by_popularity(alike, 4).of_item.tolist() == [0] * 10
    assert ItemGroups.by_popularity(Interactions.from_pairs([], [], 2, 3), 4).labels == ("0+",)
    for number, found in [(0, "0"), (True, "an object of type bool"), (2.5, "an object of type float")]:
        with pytest.raises(InputError, match=f"groups: found {found}"):
            ItemGroups.by_popularity(train, number)
        with pytest.raises(InputError, match=f"groups: found {found}"):
            UserGroups.by_quantile(train, number)


@pytest.mark.parametrize("edges", [[], [5]])
def test_by_group_labels_every_degree(edges):
    groups = UserGroups.by_degree(pairs(np.tri(9, dtype=bool)), edges)
    assert groups.labels == (("0-4", "5+") if edges else ("0+",))
    assert np.bincount(groups.of_user).tolist() == ([4, 5] if edges else [9])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": ["recal"]}, "'recal'.*one of recall"),
        ({"groups": 4}, "groups: found an object of type int; expected groups, such as UserGroups.by_quantile"),
        ({"item_groups": 4}, "item_groups: found an object of type int; expected groups, such as ItemGroups"),
        ({"groups": UserGroups(("all",), np.zeros(1, dtype=np.int64))}, "groups of 1 users; expected of"),
        ({"item_groups": ItemGroups(("all",), np.zeros(1, dtype=np.int64))}, "groups of 1 items; expected of"),
        ({"cutoffs": [0, 5]}, "cutoffs"),
        ({"cutoffs": []}, "cutoffs"),
        ({"truth": Interactions.from_pairs([], [], 60, 200)}, "ground truth"),
        ({"truth": Interactions.from_pairs([0], [0], 60, 201)}, "ground truth.*201"),
        ({"truth": "test"}, "ground truth: found an object of type str; expected prismrec.Interactions"),
        (
            {"mask": Interactions.from_pairs([0], [0], 60, 200)},
            "mask: found .*expected a list of",
        ),
        ({"embeddings": (torch.ones(60, 2), torch.ones(200, 2))}, "embeddings: found an object of type tuple"),
        ({"embeddings": Embeddings(np.ones((60, 2)), np.ones((200, 2)))}, "embeddings: found ndarray; expected dense"),
        ({"embeddings": Embeddings(torch.ones(60, 2).to_sparse(), torch.ones(200, 2))}, "embeddings: found a tensor"),
        (
            {"embeddings": Embeddings(torch.ones(60, 2, device="meta"), torch.ones(200, 2))},
            "embeddings: found a tensor",
        ),
        ({"block_size": "5"}, "block_size: found an object of type str"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    embeddings, _, true = random_case()
    with pytest.raises(InputError, match=message):
        evaluate(**{"embeddings": embeddings, "truth": pairs(true)} | arguments)


def test_by_group_without_groups_is_refused():
    embeddings, _, true = random_case()
    with pytest.raises(ValueError, match="groups"):
        evaluate(embeddings, pairs(true)).by_group()


@pytest.mark.parametrize("edges", [[0], [5, 5], [9, 3]])
def test_group_edges_must_ascend_from_one(edges):
    with pytest.raises(InputError, match="ascending"):
        UserGroups.by_degree(pairs(np.eye(3, dtype=bool)), edges)
