import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.models.bm3 import BM3
from prismrec.ops.dropout import dropout
from prismrec.testing import NUM_ITEMS, RecommenderContract, toy_batch, toy_features, toy_interactions
from prismrec.types import Triplets

import golden


class TestBM3(RecommenderContract):
    model = BM3


class TestBM3Frozen(RecommenderContract):
    model = BM3
    config = {"train_features": False, "regulariser_form": "squares"}


def build(modalities: int = 2, **settings) -> BM3:
    torch.manual_seed(0)
    return BM3(toy_interactions(), toy_features(modalities), BM3.Config(embedding_size=6, **settings))


@pytest.mark.parametrize(
    ("layers", "users", "items", "first", "last", "loss"),
    [
        (1, -5.251612812, -6.670176541, -0.238615383, 0.299231743, 10.423765625),
        (2, -5.246016614, -6.653275167, -0.226230306, 0.221750891, 10.479075556),
    ],
)
def test_golden_values(float64, layers, users, items, first, last, loss) -> None:
    config = BM3.Config(embedding_size=4, layers=layers, dropout=0, regulariser=0.1)
    model = BM3(golden.TRAIN, golden.features(), config)
    with torch.no_grad():
        model.user_table.copy_(golden.filler(0, 4, 4))
        model.item_table.copy_(golden.filler(1, 5, 4))
    for k, layer in ((2, model.predictor), (4, model.projections[0]), (6, model.projections[1])):
        golden.fill_linear(layer, k)
    embeddings = model.embed()
    assert embeddings.users.sum().item() == pytest.approx(users, abs=1e-8)
    assert embeddings.items.sum().item() == pytest.approx(items, abs=1e-8)
    assert embeddings.users[0, 0].item() == pytest.approx(first, abs=1e-8)
    assert embeddings.items[4, -1].item() == pytest.approx(last, abs=1e-8)
    assert sum(term.item() for term in model(golden.BATCH).values()) == pytest.approx(loss, abs=1e-8)


def plain_loss(model: BM3, batch: Triplets) -> Tensor:
    """Everything predicted for all rows, cosines of repeated rows; masks drawn for the distinct rows of the batch."""
    config, R = model.config, torch.from_numpy(toy_interactions().csr.toarray()).double()
    R = torch.where(R > 0, R / (R.sum(1, keepdim=True) * R.sum(0)).sqrt(), 0)
    P, Q = model.user_table, model.item_table
    h = [(P + R @ Q) / 2, (Q + R.T @ P) / 2 + Q]

    def target(x: Tensor, numbers: Tensor) -> Tensor:
        x, distinct = x.detach().clone(), numbers.unique()
        x[distinct] = dropout(x[distinct], config.dropout, training=True)
        return x[numbers]

    def cost(online: Tensor, fixed: Tensor) -> Tensor:
        return 1 - F.cosine_similarity(online, fixed).mean()

    users, items = batch.users, batch.positives
    fixed_users, fixed_items = target(h[0], users), target(h[1], items)
    loss = cost(model.predictor(h[0])[users], fixed_items) + cost(model.predictor(h[1])[items], fixed_users)
    for table, project in zip(model.tables, model.projections, strict=True):
        z = project(table)
        online = model.predictor(z)[items]
        loss = loss + config.modal_weight * (cost(online, fixed_items) + cost(online, target(z, items)))
    if config.regulariser_form == "norms":
        return loss + config.regulariser * (h[0].norm() + h[1].norm()) / NUM_ITEMS
    return loss + config.regulariser * (h[0][users].square().sum(1) + h[1][items].square().sum(1)).mean()


@pytest.mark.parametrize("settings", [{}, {"regulariser_form": "squares", "modal_weight": 1}])
@pytest.mark.parametrize("modalities", [1, 3])
def test_loss_and_gradients_equal_the_equations_on_all_rows(float64, modalities, settings) -> None:
    model, batch = build(modalities, **settings), toy_batch(toy_interactions(), 20)
    assert len(batch.users.unique()) < 20 > len(batch.positives.unique())
    torch.manual_seed(1)
    loss = torch.stack(list(model(batch).values())).sum()
    torch.manual_seed(1)
    plain = plain_loss(model, batch)
    torch.testing.assert_close(loss, plain)
    weights = list(model.parameters())
    for mine, reference in zip(torch.autograd.grad(loss, weights), torch.autograd.grad(plain, weights), strict=True):
        torch.testing.assert_close(mine.to_dense(), reference)


def test_feature_rows_outside_the_batch_get_no_gradient() -> None:
    model, batch = build(), toy_batch(toy_interactions())
    torch.stack(list(model(batch).values())).sum().backward()
    outside = ~torch.isin(torch.arange(NUM_ITEMS), batch.positives)
    assert outside.any()
    for table in model.tables:
        gradient = table.grad.to_dense()
        assert not gradient[outside].any()
        assert gradient[~outside].any(1).all()


def test_training_its_tables_leaves_the_features_given_to_it_alone() -> None:
    features = toy_features(1)
    before = features["visual"].clone()
    model = BM3(toy_interactions(), features, BM3.Config(embedding_size=6))
    with torch.no_grad():
        model.tables[0].zero_()
    assert torch.equal(features["visual"], before)


def test_frozen_features_are_neither_trained_nor_saved() -> None:
    model = build(train_features=False)
    assert not any("features" in name or "tables" in name for name in model.state_dict())
    assert model.tables is model.features


def test_negatives_do_not_matter() -> None:
    batch = toy_batch(toy_interactions())
    losses = []
    for negatives in (batch.negatives, batch.negatives.flip(0)):
        model = build()
        torch.manual_seed(1)
        losses.append({name: t.item() for name, t in model(Triplets(batch.users, batch.positives, negatives)).items()})
    assert losses[0] == losses[1]


def test_the_order_of_modalities_does_not_matter(float64) -> None:
    model, batch = build(dropout=0), toy_batch(toy_interactions())
    before = model(batch)["modal"]
    model.tables, model.projections = torch.nn.ParameterList(reversed(model.tables)), model.projections[::-1]
    torch.testing.assert_close(model(batch)["modal"], before)


def test_an_item_without_users_keeps_its_own_embedding(float64) -> None:
    model = build(layers=2)
    expected = model.predictor(model.item_table[11] / 3 + model.item_table[11])
    torch.testing.assert_close(model.embed().items[11], expected)
