"""Lists under rules agree with their definition: a greedy choice from the sorted list of all items."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.errors import ParameterError
from prismrec.retrieval import compose as module
from prismrec.retrieval.compose import Floor, Limit, Rules, compose
from prismrec.retrieval.search import ExactSearch
from prismrec.types import Interactions

ITEMS = 40


def plain_list(scores, hidden, k, limits, is_new, least):
    """Items of one query: first the best new ones, then the best of all, never against a limit; by score."""
    best_first = [i for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)) if i not in hidden]
    chosen = []

    def fits(item):
        for groups, most in limits:
            if groups[item] >= 0 and sum(groups[other] == groups[item] for other in chosen) >= most:
                return False
        return item not in chosen

    for item in best_first:
        if is_new[item] and len(chosen) < min(least, k) and fits(item):
            chosen.append(item)
    for item in best_first:
        if len(chosen) < k and fits(item):
            chosen.append(item)
    return sorted(chosen, key=lambda i: (-scores[i], i))


@settings(deadline=None)
@given(
    k=st.integers(1, 50),
    limits=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 3)), max_size=2),
    least=st.integers(0, 6),
    new=st.sampled_from([0.0, 0.1, 0.6]),
    density=st.sampled_from([0.0, 0.5, 1.0]),
    pool=st.sampled_from([1, 4, 100]),
    seed=st.integers(0, 2**32 - 1),
)
def test_lists_under_limits_and_a_floor_are_the_greedy_choice_from_all_items(
    k, limits, least, new, density, pool, seed
):
    rng = np.random.default_rng(seed)
    users = rng.integers(-2, 3, (5, 3)).astype(np.float32)  # small integers make exact scores and many ties
    items = rng.integers(-2, 3, (ITEMS, 3)).astype(np.float32)
    mask = rng.random((5, ITEMS)) < density
    groups = [(rng.integers(-1, count, ITEMS), most) for count, most in limits]
    is_new = rng.random(ITEMS) < new
    search = ExactSearch(torch.from_numpy(items))
    rules = Rules(
        limits=tuple(Limit(each, most) for each, most in groups),
        floor=Floor(search.among(np.flatnonzero(is_new)), least) if least else None,
        diversity=0.0,
        vectors=torch.from_numpy(items),
    )
    hidden = Interactions.from_pairs(*np.nonzero(mask), *mask.shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_POOL", pool)
        patch.setattr(module, "_GROWTH", 2)
        patch.setattr(module, "_QUERIES_AT_ONCE", 2)
        found = compose(search, torch.from_numpy(users), k, hidden, rules)
    scores = users @ items.T
    for row, user_scores in enumerate(scores):
        expected = plain_list(user_scores, set(np.flatnonzero(mask[row])), k, groups, is_new, least)
        missing = found.items.shape[1] - len(expected)
        assert found.items[row].tolist() == expected + [-1] * missing
        assert found.scores[row].tolist() == [user_scores[i] for i in expected] + [-np.inf] * missing


def plain_mmr(scores, vectors, k, diversity):
    """Carbonell and Goldstein's choice over all items, in the order chosen."""
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = []
    for _ in range(k):
        values = {}
        for item in set(range(len(scores))) - set(chosen):
            closest = max([unit[item] @ unit[other] for other in chosen], default=0.0)
            values[item] = (1 - diversity) * relevance[item] - (diversity * closest if chosen else 0)
        chosen.append(max(values, key=values.get))
    return chosen


@pytest.mark.parametrize("diversity", [0.2, 0.7, 0.95])
def test_variety_is_maximal_marginal_relevance(diversity):
    rng = np.random.default_rng(1)
    users, items = rng.standard_normal((6, 4)), rng.standard_normal((ITEMS, 4))
    vectors = torch.from_numpy(items).float()
    rules = Rules(limits=(), floor=None, diversity=diversity, vectors=vectors)
    nothing = Interactions.from_pairs([], [], 6, ITEMS)
    found = compose(ExactSearch(vectors), torch.from_numpy(users).float(), 8, nothing, rules)
    for row in range(6):
        assert found.items[row].tolist() == plain_mmr(items @ users[row], items, 8, diversity)


def test_variety_lowers_the_similarity_within_a_list():
    rng = np.random.default_rng(2)
    vectors = torch.from_numpy(rng.standard_normal((400, 8))).float()
    queries = torch.from_numpy(rng.standard_normal((20, 8))).float()
    nothing = Interactions.from_pairs([], [], 20, 400)

    def similarity(diversity):
        rules = Rules(limits=(), floor=None, diversity=diversity, vectors=vectors)
        items = compose(ExactSearch(vectors), queries, 10, nothing, rules).items
        unit = torch.nn.functional.normalize(vectors[items], dim=2)
        return float((unit @ unit.transpose(1, 2)).mean())

    assert similarity(0.0) > similarity(0.3) > similarity(0.6)


def test_a_long_list_with_variety_is_refused():
    vectors = torch.ones(2000, 2)
    rules = Rules(limits=(), floor=None, diversity=0.5, vectors=vectors)
    nothing = Interactions.from_pairs([], [], 1, 2000)
    with pytest.raises(ParameterError, match="k: found 1500; expected 500 or less with diversity"):
        compose(ExactSearch(vectors), torch.ones(1, 2), 1500, nothing, rules)


@pytest.mark.parametrize("allowed", [[], [3], [0, 5, 6, 39]])
def test_a_search_among_items_finds_only_these(allowed):
    rng = np.random.default_rng(3)
    items = torch.from_numpy(rng.integers(-3, 4, (ITEMS, 3))).float()
    queries = torch.from_numpy(rng.integers(-3, 4, (4, 3))).float()
    mask = rng.random((4, ITEMS)) < 0.3
    hidden = Interactions.from_pairs(*np.nonzero(mask), *mask.shape)
    found = ExactSearch(items).among(np.array(allowed, dtype=np.int64)).search(queries, 10, hidden)
    assert found.items.shape == (4, len(allowed))
    for row in range(4):
        scores = items @ queries[row]
        left = [i for i in allowed if not mask[row, i]]
        expected = sorted(left, key=lambda i: (-float(scores[i]), i))
        assert [i for i in found.items[row].tolist() if i >= 0] == expected


def test_a_search_among_some_of_some_items_keeps_their_numbers():
    items = torch.arange(ITEMS).float().unsqueeze(1)
    nothing = Interactions.from_pairs([], [], 1, ITEMS)
    search = ExactSearch(items).among(np.arange(10, 30)).among(np.array([12, 20, 29]))
    assert search.search(torch.ones(1, 1), 9, nothing).items.tolist() == [[29, 20, 12]]


def test_half_precision_rows_are_searched():
    items = torch.randn(ITEMS, 8, generator=torch.Generator().manual_seed(0)).half()
    nothing = Interactions.from_pairs([], [], 2, ITEMS)
    queries = items[:2].float()
    found = ExactSearch(items).search(queries, 5, nothing)
    assert torch.equal(found.items, (queries @ items.float().T).topk(5).indices)
