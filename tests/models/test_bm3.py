"""BM3 against a plain reading of its equations, and the checks of its specification."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.models.bm3 import BM3
from prismrec.ops.uniform_dropout import dropout
from prismrec.testing import (
    ISOLATED_ITEM,
    NUM_ITEMS,
    RecommenderContract,
    toy_batch,
    toy_features,
    toy_interactions,
)
from prismrec.types import Triplets

import golden
import plain


class TestBM3(RecommenderContract):
    model = BM3


class TestBM3Frozen(RecommenderContract):
    model = BM3
    config = {"train_features": False, "regulariser_form": "squares"}


def build(modalities: int = 2, **settings: object) -> BM3:
    torch.manual_seed(0)
    return BM3(toy_interactions(), toy_features(modalities), BM3.Config(**{"embedding_size": 6, **settings}))


def loss_of(model: BM3, batch: Triplets) -> Tensor:
    return torch.stack(list(model(batch).values())).sum()


@pytest.mark.parametrize(
    ("layers", "sum_users", "sum_items", "first", "last", "loss"),
    [
        (1, -5.251612812, -6.670176541, -0.238615383, 0.299231743, 10.423765625),
        (2, -5.246016614, -6.653275167, -0.226230306, 0.221750891, 10.479075556),
    ],
)
def test_golden_values(
    float64: None, layers: int, sum_users: float, sum_items: float, first: float, last: float, loss: float
) -> None:
    config = BM3.Config(embedding_size=4, layers=layers, dropout=0, regulariser=0.1)
    model = BM3(golden.TRAIN, golden.features(), config)
    with torch.no_grad():
        model.user_table.copy_(golden.filler(0, 4, 4))
        model.item_table.copy_(golden.filler(1, 5, 4))
    golden.fill_linear(model.predictor, 2)
    golden.fill_linear(model.projections[0], 4)
    golden.fill_linear(model.projections[1], 6)
    embeddings = model.embed()
    assert embeddings.users.sum().item() == pytest.approx(sum_users, abs=1e-8)
    assert embeddings.items.sum().item() == pytest.approx(sum_items, abs=1e-8)
    assert embeddings.users[0, 0].item() == pytest.approx(first, abs=1e-8)
    assert embeddings.items[4, -1].item() == pytest.approx(last, abs=1e-8)
    assert loss_of(model, golden.BATCH).item() == pytest.approx(loss, abs=1e-8)


def plain_target(model: BM3, rows: Tensor, listed: Tensor) -> Tensor:
    """The targets of the listed rows: constants, with one dropout mask for each distinct row."""
    target, distinct = rows.detach().clone(), listed.unique()
    target[distinct] = dropout(target[distinct], model.config.dropout, training=True)
    return target[listed]


def plain_cost(online: Tensor, target: Tensor) -> Tensor:
    """C, one minus the mean cosine."""
    return 1 - F.cosine_similarity(online, target).mean()


def plain_loss(model: BM3, batch: Triplets) -> Tensor:
    """The loss, with all rows projected and predicted; dropout is drawn in the order in which the model draws it."""
    config, users, items = model.config, batch.users, batch.positives
    A = plain.normalised(plain.adjacency(plain.dense(toy_interactions())))
    propagated = plain.layer_mean(A, torch.cat([model.user_table, model.item_table]), config.layers)
    h_users, h_items = propagated[: model.num_users], propagated[model.num_users :] + model.item_table
    user_targets = plain_target(model, h_users, users)
    item_targets = plain_target(model, h_items, items)
    loss = plain_cost(model.predictor(h_users)[users], item_targets)
    loss = loss + plain_cost(model.predictor(h_items)[items], user_targets)
    for table, project in zip(model.tables, model.projections, strict=True):
        z = project(table)
        online = model.predictor(z)[items]
        modal_targets = plain_target(model, z, items)
        loss = loss + config.modal_weight * (plain_cost(online, item_targets) + plain_cost(online, modal_targets))
    if config.regulariser_form == "norms":
        return loss + config.regulariser * (h_users.norm() + h_items.norm()) / NUM_ITEMS
    squares = h_users[users].square().sum(1) + h_items[items].square().sum(1)
    return loss + config.regulariser * squares.mean()


@pytest.mark.parametrize("settings", [{}, {"regulariser_form": "squares", "modal_weight": 1}])
@pytest.mark.parametrize("modalities", [1, 3])
def test_loss_and_gradients_equal_the_plain_reading(
    float64: None, modalities: int, settings: dict[str, object]
) -> None:
    model, batch = build(modalities, **settings), toy_batch(toy_interactions(), 20)
    assert len(batch.users.unique()) < len(batch)
    assert len(batch.positives.unique()) < len(batch)
    torch.manual_seed(1)
    loss = loss_of(model, batch)
    torch.manual_seed(1)
    expected = plain_loss(model, batch)
    torch.testing.assert_close(loss, expected)
    plain.assert_same_gradients(loss, expected, model.parameters())


def test_feature_rows_outside_the_batch_get_no_gradient() -> None:
    model, batch = build(), toy_batch(toy_interactions())
    loss_of(model, batch).backward()
    is_outside = ~torch.isin(torch.arange(NUM_ITEMS), batch.positives)
    assert is_outside.any()
    for table in model.tables:
        gradient = table.grad.to_dense()
        assert not gradient[is_outside].any()
        assert gradient[~is_outside].any(1).all()


def test_trained_features_are_copies() -> None:
    """Training must not change the matrices of the caller."""
    features = toy_features(1)
    before = features["visual"].clone()
    model = BM3(toy_interactions(), features, BM3.Config(embedding_size=6))
    with torch.no_grad():
        model.tables[0].zero_()
    assert torch.equal(features["visual"], before)


def test_frozen_features_are_neither_trained_nor_saved() -> None:
    model = build(train_features=False)
    assert not any(name.startswith("tables") for name in model.state_dict())
    assert not any(name.startswith("tables") for name, _ in model.named_parameters())
    for table, features in zip(model.tables, toy_features(2).values(), strict=True):
        assert torch.equal(table, features)


def test_negatives_do_not_matter() -> None:
    batch = toy_batch(toy_interactions())
    flipped = Triplets(batch.users, batch.positives, batch.negatives.flip(0))
    losses = []
    for each in (batch, flipped):
        model = build()
        torch.manual_seed(1)
        losses.append({name: term.item() for name, term in model(each).items()})
    assert losses[0] == losses[1]


def test_the_order_of_modalities_does_not_matter(float64: None) -> None:
    model, batch = build(dropout=0), toy_batch(toy_interactions())
    before = model(batch)["modal"]
    model.tables = torch.nn.ParameterList(reversed(model.tables))
    model.projections = model.projections[::-1]
    torch.testing.assert_close(model(batch)["modal"], before)


def test_an_item_without_users_keeps_its_own_embedding(float64: None) -> None:
    model = build(layers=2)
    own = model.item_table[ISOLATED_ITEM]
    expected = model.predictor(own / 3 + own)
    torch.testing.assert_close(model.embed().items[ISOLATED_ITEM], expected)
