import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.dense_item_graph import dense_learned_graph
from prismrec.models.lightgcn import LightGCN
from prismrec.models.ludp import LUDP
from prismrec.testing import (
    ISOLATED_USER,
    NUM_ITEMS,
    NUM_USERS,
    RecommenderContract,
    toy_batch,
    toy_features,
    toy_interactions,
)


class TestLUDP(RecommenderContract):
    model = LUDP
    config = {"neighbours": 4}


class TestLUDPSum(RecommenderContract):
    model = LUDP
    config = {"neighbours": 4, "fusion": "sum", "train_features": False, "item_graphs": False}


class TestLUDPConcat(RecommenderContract):
    model = LUDP
    config = {"neighbours": 4, "fusion": "concat", "item_layers": 2, "user_preferences": False}


def build(modalities: int = 2, **settings: object) -> LUDP:
    torch.manual_seed(0)
    values = {"embedding_size": 6, "neighbours": 4} | settings
    return LUDP(toy_interactions(), toy_features(modalities), LUDP.Config(**values))


def dense_fusion(fusion: torch.nn.Module, name: str, views: list[Tensor]) -> Tensor:
    if name == "concat":
        return torch.cat(views, 1) @ fusion.joint.weight.T + fusion.joint.bias
    if name == "sum" or len(views) == 1:
        return sum(views)
    attention, rows = fusion.attention, []
    for node in zip(*views, strict=True):  # row by row, like Eqs. 6-8
        mapped = [m.weight @ h for m, h in zip(attention.maps, node, strict=True)]
        scores = [attention.query @ torch.tanh(h + attention.bias) for h in mapped]
        alpha = torch.stack(scores).softmax(0)
        rows.append(sum(a * h for a, h in zip(alpha, node, strict=True)))
    return torch.stack(rows)


def dense_forward(model: LUDP, initial: list[Tensor]) -> tuple[Tensor, Tensor]:
    config, train = model.config, toy_interactions()
    R = torch.from_numpy(train.csr.toarray()).to(model.user_table)
    A = torch.zeros(NUM_USERS + NUM_ITEMS, NUM_USERS + NUM_ITEMS)
    A[:NUM_USERS, NUM_USERS:], A[NUM_USERS:, :NUM_USERS] = R, R.T
    root = A.sum(1).clamp(min=1).rsqrt()
    nodes = torch.cat([model.user_table, model.item_table])
    total = nodes
    for _ in range(config.layers):
        nodes = root[:, None] * (A @ (root[:, None] * nodes))
        total = total + nodes
    users, items = total.split([NUM_USERS, NUM_ITEMS])
    if config.item_graphs:
        views = []
        for x in initial:
            view = model.item_table
            for _ in range(config.item_layers):
                view = dense_learned_graph(x, config.neighbours) @ view
            views.append(view)
        items = items + dense_fusion(model.item_fusion, config.fusion, views)
    if config.user_preferences:
        views = []
        for table, first, second in zip(model.tables, model.extract, model.to_ids, strict=True):
            preference = F.leaky_relu((R @ table) / R.sum(1, keepdim=True).clamp(min=1) @ first)
            views.append(F.leaky_relu(preference @ second) + model.user_table)
        users = users + dense_fusion(model.user_fusion, config.fusion, views)
    return users, items


@pytest.mark.parametrize("modalities", [1, 3])
@pytest.mark.parametrize("fusion", ["attention", "sum", "concat"])
@pytest.mark.parametrize(
    "settings", [{}, {"item_layers": 3, "user_preferences": False}, {"item_graphs": False, "train_features": False}]
)
def test_losses_gradients_and_embeddings_equal_the_dense_reading(
    float64: None, modalities: int, fusion: str, settings: dict[str, object]
) -> None:
    model = build(modalities, fusion=fusion, regulariser=0.1, **settings)
    batch = toy_batch(toy_interactions())
    terms = model(batch)
    sum(terms.values()).backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    users, items = dense_forward(model, [x.double() for x in toy_features(modalities).values()])
    difference = (users[batch.users] * (items[batch.positives] - items[batch.negatives])).sum(1)
    ego = model.user_table[batch.users], model.item_table[batch.positives], model.item_table[batch.negatives]
    expected = {
        "bpr": -F.logsigmoid(difference).mean(),
        "regulariser": 0.1 * sum(rows.pow(2).sum() for rows in ego) / (2 * len(batch)),
    }
    sum(expected.values()).backward()
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term, rtol=1e-10, atol=1e-12)
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        torch.testing.assert_close(gradients[name], weight.grad, rtol=1e-8, atol=1e-13, msg=name)
    embeddings = model.embed()
    torch.testing.assert_close(embeddings.users, users)
    torch.testing.assert_close(embeddings.items, items)


def test_without_both_graphs_it_is_lightgcn_with_a_sum_over_layers() -> None:
    model = build(item_graphs=False, user_preferences=False)
    lightgcn = LightGCN(toy_interactions(), {}, LightGCN.Config(embedding_size=6, layers=2))
    lightgcn.load_state_dict(model.state_dict())
    found, expected = model.embed(), lightgcn.embed()
    torch.testing.assert_close(found.users, 3 * expected.users)
    torch.testing.assert_close(found.items, 3 * expected.items)


@pytest.mark.parametrize("item_layers", [1, 3])
@pytest.mark.parametrize("modalities", [1, 3])
def test_with_one_neighbour_items_are_enriched_by_themselves(item_layers: int, modalities: int) -> None:
    model = build(modalities, neighbours=1, item_layers=item_layers)
    plain = build(modalities, item_graphs=False)
    plain.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(model.embed().items, plain.embed().items + model.item_table)


def test_two_equal_graphs_are_fused_to_one() -> None:
    train, (visual, *_) = toy_interactions(), toy_features(1).values()
    config = LUDP.Config(embedding_size=6, neighbours=4, user_preferences=False)
    once = LUDP(train, {"a": visual}, config)
    twice = LUDP(train, {"a": visual, "b": visual}, config)
    twice.load_state_dict(once.state_dict(), strict=False)
    torch.testing.assert_close(once.embed().items, twice.embed().items)


def test_without_a_query_the_fusion_is_the_mean() -> None:
    model = build(3)
    torch.nn.init.zeros_(model.item_fusion.attention.query)
    views = model._item_views(slice(None))
    torch.testing.assert_close(model.item_fusion(views), torch.stack(views).mean(0))
    shares = model.user_fusion.attention.weights(model._preferences(slice(None)))
    torch.testing.assert_close(shares.sum(1), torch.ones(NUM_USERS))
    assert shares.std(0).min() > 0


def test_preferences_are_the_id_table_for_users_without_items_or_with_zero_weights() -> None:
    model = build()
    for preference in model._preferences(slice(None)):
        torch.testing.assert_close(preference[ISOLATED_USER], model.user_table[ISOLATED_USER])
    for weight in model.to_ids:
        torch.nn.init.zeros_(weight)
    preferences = model.user_fusion(model._preferences(slice(None)))
    torch.testing.assert_close(preferences, model.user_table)


def test_trained_features_do_not_change_the_item_graphs() -> None:
    model = build()
    before = model.embed().items
    with torch.no_grad():
        for table in model.tables:
            table.mul_(-2).add_(1)
    assert torch.equal(model.embed().items, before)


def test_training_and_evaluation_have_the_same_embeddings() -> None:
    model = build()
    trained, evaluated = model.train().embed(), model.eval().embed()
    assert torch.equal(trained.users, evaluated.users)
    assert torch.equal(trained.items, evaluated.items)


def test_the_order_of_modalities_does_not_matter() -> None:
    train, features = toy_interactions(), toy_features(2)
    model = build()
    reordered = LUDP(train, dict(reversed(features.items())), model.config)
    other = {"0": "1", "1": "0"}
    state = {
        ".".join(other.get(part, part) for part in name.split(".")): weight
        for name, weight in model.state_dict().items()
    }
    reordered.load_state_dict(state)
    torch.testing.assert_close(reordered.embed().users, model.embed().users)
    torch.testing.assert_close(reordered.embed().items, model.embed().items)
