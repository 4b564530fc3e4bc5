"""Prism against a dense reading of its equations, and its parts."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.evaluation import evaluate
from prismrec.graph import content_graph, explaining_factors
from prismrec.models.prism import FACTOR_LENGTH, Prism
from prismrec.models.spectral import Spectral
from prismrec.nn.user_fit import fit_users
from prismrec.records import Settings
from prismrec.testing import (
    ISOLATED_ITEM,
    NUM_ITEMS,
    NUM_USERS,
    RecommenderContract,
    toy_batch,
    toy_features,
    toy_interactions,
    vector_taste,
)
from prismrec.testing.learning import lightgcn_recall
from prismrec.training import fit
from prismrec.types import Embeddings, Interactions

from plain import dense


class TestPrism(RecommenderContract):
    model = Prism


def build(modalities: int = 2, **settings: object) -> Prism:
    values = {"embedding_size": 6, "neighbours": 4, "batch_size": 8, "id_dropout": 0.0, "user_scale": 0.0}
    return Prism(toy_interactions(), toy_features(modalities), Prism.Config.model_validate(values | settings))


def encoded(model: Prism) -> tuple[Tensor, Tensor]:
    """The mean of the layers, layer by layer with dense matrices."""
    R = dense(toy_interactions())
    A = (R.sum(1) + 1)[:, None] ** -0.5 * R * (R.sum(0) + 1) ** -0.5
    A = A / torch.linalg.matrix_norm(A, 2)
    graph = content_graph(toy_features(2).values(), 4)
    assert graph is not None
    C = graph(torch.eye(NUM_ITEMS))
    weight = model.config.similar_weight or model.spectral.constants[1]
    factors = explaining_factors(toy_features(2).values(), 128)
    assert factors is not None
    length = factors.square().sum(1).mean().sqrt()
    users = [model.user_table]
    items = [model.item_table + FACTOR_LENGTH * factors / length @ model.projection]
    for _ in range(model.config.layers):
        next_users = A @ items[-1]
        next_items = (A.T @ users[-1] + weight * C @ items[-1]) / (1 + weight) ** 0.5
        users.append(next_users)
        items.append(next_items)
    return torch.stack(users).mean(0), torch.stack(items).mean(0)


@pytest.mark.parametrize(("layers", "similar_weight"), [(0, 0.7), (1, None), (3, 0.7)])
def test_loss_and_gradients_equal_the_dense_reading(float64: None, layers: int, similar_weight: float | None) -> None:
    """All items that occur in training are sampled, so the softmax is not an estimate."""
    model = build(layers=layers, similar_weight=similar_weight, regulariser=0.2, temperature=0.4)
    with torch.no_grad():
        model.projection.normal_()
    batch = toy_batch(toy_interactions())
    users, items = encoded(model)
    cosines = F.normalize(users)[batch.users] @ F.normalize(items).T / 0.4  # [B, I]
    cosines[:, ISOLATED_ITEM] = -torch.inf
    ranking = F.cross_entropy(cosines, batch.positives)
    rows = model.user_table[batch.users].square().sum() + model.item_table[batch.positives].square().sum()
    expected = ranking + 0.2 * rows / (2 * len(batch))
    loss = torch.stack(list(model(batch).values())).sum()
    torch.testing.assert_close(loss, expected)
    weights = [model.user_table, model.item_table, model.projection]
    torch.testing.assert_close(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights))


def test_a_sample_estimates_the_softmax_without_bias_of_its_sum(float64: None) -> None:
    exact = build()(toy_batch(toy_interactions()))["softmax"]
    model = build(negatives=8)
    torch.manual_seed(0)
    estimates = torch.stack([model(toy_batch(toy_interactions()))["softmax"].detach() for _ in range(300)])
    assert abs(float(estimates.mean() - exact.detach())) < 0.05


def test_both_parts_stand_side_by_side_with_comparable_scores(float64: None) -> None:
    model = build(spectral_weight=0.4)
    embeddings = model.embed()
    assert embeddings.users.shape == (NUM_USERS, 12)
    trained = embeddings.users[:, :6] @ embeddings.items[:, :6].T
    closed = embeddings.users[:, 6:] @ embeddings.items[:, 6:].T
    users, items = encoded(model)
    torch.testing.assert_close(trained, F.normalize(users) @ F.normalize(items).T)
    active = torch.from_numpy(toy_interactions().user_degrees > 0)
    ratios = closed.std(1, correction=0) / trained.std(1, correction=0)
    torch.testing.assert_close(ratios[active], torch.full_like(ratios[active], 0.4))
    assert not closed[~active].any()


def test_the_order_of_the_spectral_part_is_that_of_spectral() -> None:
    model = build()
    spectral = Spectral(toy_interactions(), toy_features(2), model.config)
    closed = model.embed().users[:, 6:] @ model.embed().items[:, 6:].T
    expected = spectral.embed().users @ spectral.embed().items.T
    torch.testing.assert_close(F.normalize(closed), F.normalize(expected), rtol=1e-4, atol=1e-5)


def test_it_starts_from_the_chosen_spectral_solution() -> None:
    model = build()
    before = model.item_table.detach().clone()
    model.select(lambda embeddings: -float(embeddings.items.norm()))
    assert not torch.equal(model.item_table, before)
    twin = build(**model.chosen)
    torch.testing.assert_close(model.item_table.abs(), twin.item_table.abs(), rtol=1e-3, atol=1e-4)
    assert not model.item_table[ISOLATED_ITEM].any()


def test_features_that_explain_nothing_are_not_projected() -> None:
    model = build(explained_weight=0.0)
    before = model.embed().items
    with torch.no_grad():
        model.projection.normal_()
    assert torch.equal(model.embed().items, before)


def item_inputs(model: Prism) -> Tensor:
    """Q + s Y W, as the first layer has it."""
    factors = model.content.factors
    assert factors is not None
    return model.item_table + model.factor_scale * factors @ model.projection


def test_the_projection_starts_with_what_the_features_explain(float64: None) -> None:
    model = build(explained_weight=0.5)
    spectral = Spectral(toy_interactions(), toy_features(2), model.config)
    _, wanted = spectral.filter.components(6)
    seen = torch.arange(NUM_ITEMS) != ISOLATED_ITEM
    started = item_inputs(model)
    torch.testing.assert_close(F.normalize(started[seen].flatten(), dim=0), F.normalize(wanted[seen].flatten(), dim=0))
    factors = model.content.factors
    assert factors is not None
    explained = factors.T @ wanted
    torch.testing.assert_close(F.normalize(model.projection.flatten(), dim=0), F.normalize(explained.flatten(), dim=0))


@pytest.mark.parametrize(("layers", "explained_weight"), [(0, 0.5), (2, 0.5), (2, 0.0)])
def test_users_start_from_their_items(layers: int, explained_weight: float) -> None:
    """Either through the first layer or through the spectral solution."""
    model = build(layers=layers, explained_weight=explained_weight)
    assert model.user_table.any() != (layers > 0 and explained_weight > 0)
    trained = model.embed().users[:, :6]
    active = torch.from_numpy(toy_interactions().user_degrees > 0)
    assert trained[active].norm(dim=1).min() > 0.99


def test_id_rows_are_hidden_in_training_only() -> None:
    model = build(id_dropout=0.9)
    with torch.no_grad():
        model.projection.zero_()
    model.train()
    shown = model._item_inputs()
    hidden = ~shown.any(1)
    assert hidden.sum() > NUM_ITEMS / 2
    torch.testing.assert_close(shown[~hidden], model.item_table[~hidden] / (1 - 0.9), rtol=1e-4, atol=1e-6)
    model.eval()
    assert torch.equal(model._item_inputs(), model.item_table)


def test_items_without_features_keep_their_id_rows() -> None:
    features = toy_features(2)
    for matrix in features.values():
        matrix[:5] = torch.nan
    config = Prism.Config(embedding_size=6, neighbours=4, id_dropout=0.9)
    model = Prism(toy_interactions(), features, config).train()
    assert torch.equal(model._item_inputs()[:5], model.item_table[:5])
    assert not torch.equal(model._item_inputs()[5:], model.item_table[5:])


@pytest.mark.parametrize("modalities", [0, 2])
def test_id_rows_are_not_hidden_if_features_explain_nothing(modalities: int) -> None:
    model = build(modalities, id_dropout=0.9, explained_weight=0.0).train()
    assert torch.equal(model._item_inputs(), model.item_table)


def test_from_random_numbers_it_starts_if_asked_to() -> None:
    model = build(initialiser="xavier")
    before = model.item_table.detach().clone()
    model.select(lambda embeddings: float(embeddings.items.norm()))
    assert torch.equal(model.item_table, before)


def test_the_batch_grows_with_the_data() -> None:
    pairs = len(toy_interactions())
    assert build(batch_size=8, steps_per_epoch=1000).batch_size == 8
    few = build(batch_size=8, steps_per_epoch=3)
    steps: list[int] = []
    few.register_forward_pre_hook(lambda _model, inputs: steps.append(len(inputs[0])))
    fit(few, toy_interactions(), Settings(epochs=1, device="cpu"))
    assert len(steps) == 3
    assert sum(steps) == pairs


def test_a_run_without_validation_chooses_nothing_and_trains() -> None:
    model = build()
    trained = fit(model, toy_interactions(), Settings(epochs=2, device="cpu"))
    assert trained.embeddings.users.isfinite().all()
    assert len(trained.progress.history) == 2


def test_training_asks_for_the_score_of_spectral_candidates_only_before_the_first_epoch() -> None:
    widths = []

    def validate(embeddings: Embeddings) -> dict[str, float]:
        widths.append(embeddings.users.shape[1])
        return {"recall@20": 0.1}

    fit(build(spectral_weight=0.1), toy_interactions(), Settings(epochs=3, device="cpu"), validate)
    candidates = len(widths) - 3
    assert candidates > 5
    assert widths[:candidates] == [6] * (candidates - 3) + [3] * 3  # half the rank is as good
    assert widths[candidates:] == [6 + 3] * 3


def test_the_weight_of_the_spectral_part_is_the_best_of_smoothed_scores() -> None:
    model = build()
    model.refine(lambda embeddings: float(0.1 < model.weight < 0.6) + 5 * float(model.weight == 0))
    assert model.chosen["spectral_weight"] == 0.0  # 2.5 with its neighbour
    model.refine(lambda embeddings: float(0.1 < model.weight < 0.6) + 1.9 * float(model.weight == 1))
    assert model.chosen["spectral_weight"] == 1.0  # 1.45 with its neighbour, more than 1
    model.refine(lambda embeddings: float(0.12 < model.weight < 0.6) + 0.9 * float(model.weight == 0))
    assert model.chosen["spectral_weight"] == 0.2
    twin = build()
    twin.load_state_dict(model.state_dict())
    assert twin.chosen == model.chosen


def test_a_given_weight_of_the_spectral_part_is_kept() -> None:
    model = build(spectral_weight=0.4)
    model.refine(lambda embeddings: pytest.fail("nothing to choose"))
    assert "spectral_weight" not in model.chosen


def test_fitted_users_explain_their_histories_by_the_scaled_items(float64: None) -> None:
    model = build(user_scale=3.0, popularity_weight=0.5, spectral_weight=0.0)
    embeddings = model.embed()
    assert embeddings.users.shape == (NUM_USERS, 6 + 1 + 6)
    items = F.normalize(encoded(model)[1])
    R = dense(toy_interactions())
    offset = 0.5 * torch.log(R.sum(0) + 1)
    expected = fit_users(3 * items, offset, R.sum(1), lambda x: R @ x)
    torch.testing.assert_close(embeddings.users @ embeddings.items.T, expected.users @ expected.items.T)


def test_users_are_fitted_only_if_validation_prefers_it() -> None:
    model = build(user_scale=None)
    assert model.chosen["user_scale"] == 2.0  # without validation
    model.select(lambda embeddings: 0.0)
    assert model.embed().users.shape[1] == 6 + model.chosen["rank"]
    for fitted in (4.0, 0.0):
        model.refine(lambda embeddings, wanted=fitted: float(model.user_fit[0] == wanted))  # type: ignore[misc]
        assert model.chosen["user_scale"] == fitted
    model.refine(lambda embeddings: float(model.user_fit.tolist() == [2.0, 1.0]))
    assert (model.chosen["user_scale"], model.chosen["popularity_weight"]) == (2.0, 1.0)
    twin = build(user_scale=None)
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(twin.embed().users, model.embed().users)


@pytest.mark.parametrize("seed", [0, 1])
def test_informative_content_lifts_it_and_noise_is_given_no_weight(seed: int) -> None:
    """Half of the users are for validation, the others are for the test."""
    train, held_out, features = vector_taste(seed, informative=True)
    _, _, noise = vector_taste(seed, informative=False)
    first = held_out.users < 40
    valid = Interactions(held_out.users[first], held_out.items[first], 80, 100)
    test = Interactions(held_out.users[~first], held_out.items[~first], 80, 100)

    def validate(embeddings: Embeddings) -> dict[str, float]:
        return evaluate(embeddings, valid, mask=[train], metrics=["recall"], cutoffs=[8]).to_dict()

    def recall(features: dict[str, Tensor]) -> float:
        model = Prism(train, features, Prism.Config(embedding_size=16, batch_size=64, learning_rate=0.01))
        trained = fit(model, train, Settings(epochs=40, device="cpu", metric="recall@8"), validate)
        return evaluate(trained.embeddings, test, mask=[train], metrics=["recall"], cutoffs=[8])["recall@8"]

    without = recall({})
    assert recall(features) > 1.3 * max(without, lightgcn_recall(seed))
    assert recall(noise) > 0.9 * without
