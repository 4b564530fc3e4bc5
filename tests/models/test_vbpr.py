"""VBPR against a plain reading of its equations, and the checks of its specification."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.models.mf_bpr import MFBPR
from prismrec.models.vbpr import VBPR
from prismrec.testing import NUM_ITEMS, RecommenderContract, toy_batch, toy_features, toy_interactions
from prismrec.types import Triplets

import golden
import plain


class TestVBPR(RecommenderContract):
    model = VBPR
    multimodal = True


class TestVBPRPaper(RecommenderContract):
    model = VBPR
    multimodal = True
    config = {"variant": "paper"}


def build(features: dict[str, Tensor] | None = None, **settings: object) -> VBPR:
    torch.manual_seed(0)
    config = VBPR.Config(**{"embedding_size": 6, **settings})
    return VBPR(toy_interactions(), toy_features(2) if features is None else features, config)


def loss_of(model: VBPR, batch: Triplets) -> Tensor:
    return torch.stack(list(model(batch).values())).sum()


def test_golden_values(float64: None) -> None:
    model = VBPR(golden.TRAIN, golden.features(), VBPR.Config(embedding_size=4, regulariser=0.1))
    with torch.no_grad():
        model.user_table.copy_(golden.filler(0, 4, 8))
        model.item_table.copy_(golden.filler(1, 5, 4))
        model.projection.copy_(golden.filler(2, 4, 9))
        model.projection_bias.copy_(golden.filler(3, 4))
    embeddings = model.embed()
    assert embeddings.users.sum().item() == pytest.approx(-0.337279085, abs=1e-8)
    assert embeddings.items.sum().item() == pytest.approx(-5.859492757, abs=1e-8)
    assert embeddings.users[0, 0].item() == pytest.approx(0.336588394, abs=1e-8)
    assert embeddings.items[4, -1].item() == pytest.approx(0.003218707, abs=1e-8)
    assert loss_of(model, golden.BATCH).item() == pytest.approx(0.881073561, abs=1e-8)


def test_scores_loss_and_gradients_equal_the_plain_reading(float64: None) -> None:
    batch = toy_batch(toy_interactions())
    model = build(regulariser=0.3)
    content = torch.cat(list(toy_features(2).values()), 1).double()  # [I, f]
    users = model.user_table
    items = torch.cat([model.item_table, content @ model.projection.T + model.projection_bias], 1)
    scores = users @ items.T
    torch.testing.assert_close(model.embed().scores(), scores)
    u, i, j = batch.users, batch.positives, batch.negatives
    ranking = -(scores[u, i] - scores[u, j]).sigmoid().log().mean()
    norms = users[u].norm() + items[i].norm() + items[j].norm()
    expected = ranking + 0.3 / len(batch) * norms
    loss = loss_of(model, batch)
    torch.testing.assert_close(loss, expected)
    plain.assert_same_gradients(loss, expected, model.parameters())


def test_scores_loss_and_gradients_equal_the_plain_reading_of_the_paper(float64: None) -> None:
    batch = toy_batch(toy_interactions())
    model = build(variant="paper", regulariser=0.3, bias_regulariser=0.2, content_regulariser=0.1)
    with torch.no_grad():
        model.item_bias.normal_()
    content = torch.cat(list(toy_features(2).values()), 1).double()  # [I, f]
    theta, gamma, bias = model.user_table, model.item_table, model.item_bias
    W, content_bias = model.projection, model.content_bias
    scores = theta[:, :6] @ gamma.T + theta[:, 6:] @ (content @ W.T).T
    scores = scores + (bias + content @ content_bias.T).T
    torch.testing.assert_close(model.embed().scores(), scores)
    u, i, j = batch.users, batch.positives, batch.negatives
    ranking = -(scores[u, i] - scores[u, j]).sigmoid().log().sum()
    factors = theta[u].square().sum() + gamma[i].square().sum() + gamma[j].square().sum()
    biases = bias[i].square().sum() + bias[j].square().sum() / 10
    projection = W.square().sum() + content_bias.square().sum()
    expected = ranking + 0.15 * factors + 0.1 * biases + 0.05 * projection
    loss = loss_of(model, batch)
    torch.testing.assert_close(loss, expected)
    plain.assert_same_gradients(loss, expected, model.parameters())


def test_without_content_it_is_matrix_factorisation() -> None:
    model = build({"visual": torch.zeros(NUM_ITEMS, 4)}, regulariser=0.0)
    other = MFBPR(toy_interactions(), {}, MFBPR.Config(embedding_size=6))
    with torch.no_grad():
        other.user_table.copy_(model.user_table[:, :6])
        other.item_table.copy_(model.item_table)
    torch.testing.assert_close(model.embed().scores(), other.embed().scores())


def test_the_order_of_modalities_is_the_order_of_columns_of_the_projection(float64: None) -> None:
    features = toy_features(2)
    model = build(features)
    other = build(dict(reversed(features.items())))
    width = features["visual"].shape[1]
    weights = model.state_dict()
    weights["projection"] = torch.cat([weights["projection"][:, width:], weights["projection"][:, :width]], 1)
    other.load_state_dict(weights)
    torch.testing.assert_close(model.embed().items, other.embed().items)


def test_only_rows_of_the_batch_get_a_gradient() -> None:
    batch, model = toy_batch(toy_interactions()), build(regulariser=0.1)
    loss_of(model, batch).backward()
    other_users = torch.ones(model.num_users, dtype=torch.bool).index_fill(0, batch.users, False)
    other_items = torch.ones(model.num_items, dtype=torch.bool).index_fill(0, batch.items, False)
    assert not model.user_table.grad.to_dense()[other_users].any()
    assert not model.item_table.grad.to_dense()[other_items].any()


def test_a_batch_given_twice_keeps_the_ranking_and_shrinks_the_norms() -> None:
    """The regulariser divides norms that are not squared by B."""
    batch, model = toy_batch(toy_interactions()), build(regulariser=1.0)
    twice = Triplets(batch.users.repeat(2), batch.positives.repeat(2), batch.negatives.repeat(2))
    terms, doubled = model(batch), model(twice)
    torch.testing.assert_close(doubled["bpr"], terms["bpr"])
    torch.testing.assert_close(doubled["regulariser"], terms["regulariser"] / 2**0.5)


def test_with_l2_features_the_scale_of_a_modality_does_not_matter() -> None:
    features = toy_features(2)
    scaled = {"visual": features["visual"], "text": 1000 * features["text"]}
    expected = torch.cat([F.normalize(features["visual"]), F.normalize(features["text"])], 1)
    torch.testing.assert_close(build(features, feature_norm="l2").content, expected)
    torch.testing.assert_close(build(scaled, feature_norm="l2").content, expected)


def test_a_constant_added_to_all_item_biases_changes_no_ranking() -> None:
    model = build(variant="paper")
    before = model.embed().scores().argsort(1)
    with torch.no_grad():
        model.item_bias.add_(3.0)
    assert torch.equal(model.embed().scores().argsort(1), before)
