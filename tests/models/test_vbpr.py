import pytest
import torch
import torch.nn.functional as F

from prismrec.models.mf_bpr import MFBPR
from prismrec.models.vbpr import VBPR
from prismrec.testing import RecommenderContract, toy_batch, toy_features, toy_interactions

import golden
import plain


class TestVBPR(RecommenderContract):
    model = VBPR
    multimodal = True


class TestVBPRPaper(RecommenderContract):
    model = VBPR
    multimodal = True
    config = {"variant": "paper"}


def build(modalities: int = 2, **settings: object) -> VBPR:
    torch.manual_seed(0)
    return VBPR(toy_interactions(), toy_features(modalities), VBPR.Config(embedding_size=6, **settings))


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
    assert sum(model(golden.BATCH).values()).item() == pytest.approx(0.881073561, abs=1e-8)


@pytest.mark.parametrize("variant", ["mmrec", "paper"])
def test_loss_and_gradient_equal_the_plain_formula_over_all_items(float64: None, variant: str) -> None:
    batch = toy_batch(toy_interactions())
    model = build(variant=variant, regulariser=0.3, bias_regulariser=0.2, content_regulariser=0.1)
    features = torch.cat(list(toy_features(2).values()), 1).double()
    theta, gamma, W = model.user_table, model.item_table, model.projection
    u, i, j = batch.users, batch.positives, batch.negatives
    scores = theta[:, :6] @ gamma.T + theta[:, 6:] @ (features @ W.T).T
    if variant == "paper":
        with torch.no_grad():
            model.item_bias.normal_()
        scores = scores + (model.item_bias + features @ model.content_bias.T).T
        expected = -(scores[u, i] - scores[u, j]).sigmoid().log().sum()
        expected = expected + 0.15 * sum(x.square().sum() for x in (theta[u], gamma[i], gamma[j]))
        expected = expected + 0.1 * (model.item_bias[i].square().sum() + model.item_bias[j].square().sum() / 10)
        expected = expected + 0.05 * (W.square().sum() + model.content_bias.square().sum())
    else:
        scores = scores + (theta[:, 6:] @ model.projection_bias)[:, None]
        items = torch.cat([gamma, features @ W.T + model.projection_bias], 1)
        expected = -(scores[u, i] - scores[u, j]).sigmoid().log().mean()
        expected = expected + 0.3 / len(batch) * (theta[u].norm() + items[i].norm() + items[j].norm())
    torch.testing.assert_close(model.embed().scores(), scores)
    loss = sum(model(batch).values())
    torch.testing.assert_close(loss, expected)
    weights = list(model.parameters())
    plain.assert_same_gradients(loss, expected, weights)


def test_with_empty_content_it_is_matrix_factorisation() -> None:
    blank = {"visual": torch.zeros(17, 4)}
    model = VBPR(toy_interactions(), blank, VBPR.Config(embedding_size=6, regulariser=0.0))
    other = MFBPR(toy_interactions(), {}, MFBPR.Config(embedding_size=6))
    with torch.no_grad():
        other.user_table.copy_(model.user_table[:, :6])
        other.item_table.copy_(model.item_table)
    torch.testing.assert_close(model.embed().scores(), other.embed().scores())


def test_the_order_of_modalities_only_orders_the_columns_of_the_projection(float64: None) -> None:
    features = toy_features(2)
    model = build()
    other = VBPR(toy_interactions(), dict(reversed(features.items())), VBPR.Config(embedding_size=6))
    first = features["visual"].shape[1]
    state = model.state_dict()
    state["projection"] = torch.cat([state["projection"][:, first:], state["projection"][:, :first]], 1)
    other.load_state_dict(state)
    torch.testing.assert_close(model.embed().items, other.embed().items)


def test_only_rows_of_the_batch_get_a_gradient() -> None:
    batch, model = toy_batch(toy_interactions()), build(regulariser=0.1)
    sum(model(batch).values()).backward()
    for table, rows in (
        (model.user_table, batch.users),
        (model.item_table, torch.cat([batch.positives, batch.negatives])),
    ):
        touched = torch.zeros(len(table), dtype=torch.bool)
        touched[rows] = True
        assert not table.grad.to_dense()[~touched].any()


def test_doubling_every_row_keeps_the_ranking_loss_and_shrinks_the_unsquared_norms() -> None:
    batch, model = toy_batch(toy_interactions()), build(regulariser=1.0)
    twice = type(batch)(*(torch.cat([rows, rows]) for rows in (batch.users, batch.positives, batch.negatives)))
    once, doubled = model(batch), model(twice)
    torch.testing.assert_close(doubled["bpr"], once["bpr"])
    torch.testing.assert_close(doubled["regulariser"], once["regulariser"] / 2**0.5)


def test_l2_features_forget_the_scale_of_a_modality() -> None:
    features = toy_features(2)
    config = VBPR.Config(embedding_size=6, feature_norm="l2")
    scaled = {name: matrix * (1000 if name == "text" else 1) for name, matrix in features.items()}
    contents = [VBPR(toy_interactions(), each, config).content for each in (features, scaled)]
    torch.testing.assert_close(*contents)
    torch.testing.assert_close(contents[0], torch.cat([F.normalize(x) for x in features.values()], 1))


def test_adding_a_constant_to_all_item_biases_changes_no_ranking() -> None:
    model = build(variant="paper")
    before = model.embed().scores().argsort(1)
    with torch.no_grad():
        model.item_bias.add_(3.0)
    assert torch.equal(model.embed().scores().argsort(1), before)
