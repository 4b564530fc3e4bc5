"""Spectral against a dense reading of its equations, and the choice of its constants."""

import math

import pytest
import torch
from torch import Tensor

from prismrec.evaluation import evaluate
from prismrec.graph import content_graph, explaining_factors
from prismrec.models.spectral import Spectral
from prismrec.testing import (
    ISOLATED_ITEM,
    ISOLATED_USER,
    NUM_ITEMS,
    NUM_USERS,
    RecommenderContract,
    toy_features,
    toy_interactions,
    vector_taste,
)
from prismrec.testing.learning import lightgcn_recall, recall_at_8
from prismrec.types import Embeddings

from plain import dense


class TestSpectral(RecommenderContract):
    model = Spectral


def build(**settings: object) -> Spectral:
    constants = {"added_degree": 2.5, "content_weight": 0.3, "explained_weight": 0.7, "exponent": 1.5, "rank": 5}
    values = {"embedding_size": 5, "neighbours": 4, **constants}
    return Spectral(toy_interactions(), toy_features(2), Spectral.Config.model_validate(values | settings))


def scores(embeddings: Embeddings) -> Tensor:
    return embeddings.users @ embeddings.items.T


def test_scores_equal_the_dense_reading(float64: None) -> None:
    t, b, c, h = 2.5, 0.3, 0.7, 1.5
    R = dense(toy_interactions())
    by_user = (R.sum(1) + t) ** -0.5
    by_item = (R.sum(0) + t) ** -0.5
    normal = by_user[:, None] * R * by_item
    P = normal.T @ normal
    graph = content_graph(toy_features(2).values(), 4)
    factors = explaining_factors(toy_features(2).values(), 128)
    assert graph is not None
    assert factors is not None
    H = factors @ factors.T
    M = P + b * torch.linalg.eigvalsh(P)[-1] * graph(torch.eye(NUM_ITEMS)) + c * H @ P @ H
    values, vectors = torch.linalg.eigh(M)
    filtered = vectors[:, -5:] * values[-5:] ** h @ vectors[:, -5:].T  # V Λ^h Vᵀ
    expected = (R * by_item) @ filtered * (R.sum(0) + t) ** 0.5
    torch.testing.assert_close(scores(build().embed()), expected)


def test_without_rank_limit_and_exponent_zero_it_returns_the_interactions(float64: None) -> None:
    """V Vᵀ is the identity, and the scales of both sides cancel."""
    model = build(rank=NUM_ITEMS, exponent=0.0)
    torch.testing.assert_close(scores(model.embed()), dense(toy_interactions()))


def test_without_modalities_only_co_occurrence_counts() -> None:
    model = Spectral(toy_interactions(), {}, Spectral.Config(rank=5, added_degree=2.5, exponent=1.5))
    assert model.chosen == {}
    expected = build(content_weight=0.0, explained_weight=0.0)
    torch.testing.assert_close(scores(model.embed()), scores(expected.embed()), rtol=1e-4, atol=1e-5)


def test_an_item_without_interactions_is_scored_by_its_content_alone() -> None:
    assert scores(build().embed())[:, ISOLATED_ITEM].any()
    assert scores(build(content_weight=0.0, explained_weight=0.0).embed())[:, ISOLATED_ITEM].abs().max() < 1e-5
    assert not scores(build().embed())[ISOLATED_USER].any()


def test_the_constants_with_the_best_score_are_chosen_and_saved() -> None:
    train = toy_interactions()
    free = {"added_degree": None, "content_weight": None, "explained_weight": None, "exponent": None}
    model = build(**free)
    asked: list[tuple[float, Embeddings]] = []

    def score(embeddings: Embeddings) -> float:
        """Grows with the mean score of training items of user 0 among standardised scores, by more than 1 % a step."""
        standard = scores(embeddings)[0] / scores(embeddings)[0].std()
        asked.append((math.exp(100 * float(standard[train.items_of(0)].mean())), embeddings))
        return asked[-1][0]

    model.select(score)
    _, best = max(asked, key=lambda pair: pair[0])
    assert torch.equal(model.embed().users, best.users)
    assert torch.equal(model.embed().items, best.items)
    filters = 5 + 2 + 5  # t, the other values of c and b; then the neighbours of t, one or two
    assert 2 * (filters + 1) <= len(asked) <= 5 * (filters + 2)
    torch.testing.assert_close(scores(build(**model.chosen).embed()), scores(best), rtol=1e-3, atol=1e-4)
    twin = build(**free)
    twin.load_state_dict(model.state_dict())
    assert twin.chosen == model.chosen


def test_a_constant_changes_only_if_this_raises_the_score_by_one_percent() -> None:
    by_degree = [1.0, 1.2, 1.211, 1.2115, 1.1]
    by_explained_weight = [1.222, 1.0]
    by_content_weight = [1.223, 1.24, 1.25, 1.0, 1.0]
    answers = iter([*by_degree, *by_explained_weight, *by_content_weight, 1.24, 1.25])
    model = build(added_degree=None, content_weight=None, explained_weight=None)
    model.select(lambda _: next(answers))
    assert next(answers, None) is None
    expected = {"added_degree": 0.1 * mean_item_degree(), "content_weight": 0.3, "explained_weight": 1.0}
    assert model.chosen == pytest.approx(expected)


@pytest.mark.parametrize(("peak", "asked"), [(0.0, [1.0, 0.5, 1.5, 0.0]), (1.0, [1.0, 0.5, 1.5])])
def test_the_exponent_climbs_from_the_best_one_so_far(peak: float, asked: list[float]) -> None:
    model = build(exponent=None)
    by_exponent = {h: model.filter.using(h).embed().users for h in (0.0, 0.5, 1.0, 1.5, 2.0)}
    seen = []

    def score(embeddings: Embeddings) -> float:
        h = min(by_exponent, key=lambda h: float((by_exponent[h] - embeddings.users).abs().max()))
        seen.append(h)
        return 1 - abs(h - peak) / 10

    model.select(score)
    assert seen == asked
    assert model.chosen == {"exponent": peak}


@pytest.mark.parametrize("seed", [0, 3, 6])
def test_features_that_say_nothing_change_no_choice(seed: int) -> None:
    train, test, features = vector_taste(seed, informative=False)
    config = Spectral.Config(embedding_size=16)
    without, model = Spectral(train, {}, config), Spectral(train, features, config)
    for each in (without, model):
        each.select(lambda embeddings: evaluate(embeddings, test, mask=[train], cutoffs=[8])["recall@8"])
    assert model.chosen == {**without.chosen, "content_weight": 0.0, "explained_weight": 0.0}


def choose_rank_by(scores_by_rank: dict[int, float]) -> Spectral:
    """A model that chooses its rank with these scores, and with no others."""
    model = build(rank=None)
    model.select(lambda embeddings: scores_by_rank[embeddings.items.shape[1]])
    return model


@pytest.mark.parametrize(
    ("scores_by_rank", "rank"),
    [
        ({2: 1.0, 5: 1.019}, 2),
        ({2: 1.0, 5: 1.021, 10: 1.022}, 5),
        ({2: 1.0, 5: 1.1, 10: 1.2, NUM_ITEMS: 1.3}, NUM_ITEMS),
        ({2: -1.0, 5: -0.97, 10: -0.97}, 5),
    ],
)
def test_the_rank_doubles_as_long_as_this_raises_the_score_by_two_percent(
    scores_by_rank: dict[int, float], rank: int
) -> None:
    model = choose_rank_by(scores_by_rank)
    assert model.chosen == {"rank": rank}
    assert model.embed().users.shape == (NUM_USERS, rank)
    torch.testing.assert_close(scores(model.embed()), scores(build(rank=rank).embed()), rtol=1e-3, atol=1e-4)


def test_weights_of_another_rank_can_be_loaded() -> None:
    model = choose_rank_by({2: 1.0, 5: 1.1, 10: 1.1})
    wide = choose_rank_by({2: 1.0, 5: 1.1, 10: 1.2, NUM_ITEMS: 1.2})
    model.load_state_dict(wide.state_dict())
    assert torch.equal(model.embed().items, wide.embed().items)


def mean_item_degree() -> float:
    train = toy_interactions()
    return len(train) / int((train.item_degrees > 0).sum())


def test_given_constants_are_not_chosen() -> None:
    model = build()
    before = scores(model.embed())
    model.select(lambda embeddings: pytest.fail("nothing to choose"))
    assert model.chosen == {}
    assert torch.equal(scores(model.embed()), before)
    partly = build(exponent=None)
    partly.select(lambda embeddings: float(embeddings.users.norm()))
    assert partly.chosen.keys() == {"exponent"}


def test_without_validation_the_constants_follow_from_the_degrees() -> None:
    model = build(added_degree=None, content_weight=None, explained_weight=None, exponent=None, rank=None)
    defaults = {"content_weight": 0.1, "explained_weight": 1.0, "exponent": 1.0, "rank": 5}
    assert model.chosen == pytest.approx({"added_degree": 0.2 * mean_item_degree(), **defaults})


def test_informative_content_lifts_it_above_lightgcn() -> None:
    train, test, features = vector_taste(0, informative=True)
    config = Spectral.Config(embedding_size=16, content_weight=1.0)
    without = recall_at_8(Spectral(train, {}, config), train, test, epochs=1)
    assert recall_at_8(Spectral(train, features, config), train, test, epochs=1) > max(lightgcn_recall(0), without)
