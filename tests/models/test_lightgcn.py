import numpy as np
import pytest
import torch
from torch import Tensor

from prismrec.models.lightgcn import LightGCN
from prismrec.testing import ISOLATED_ITEM, ISOLATED_USER, NUM_USERS, RecommenderContract, toy_batch, toy_interactions
from prismrec.types import Interactions

from plain import adjacency, dense, normalised


class TestLightGCN(RecommenderContract):
    model = LightGCN


class TestLightGCNAsInMMRec(RecommenderContract):
    model = LightGCN
    config = {"initialiser": "xavier", "regulariser_form": "norms", "layers": 2}


def build(train: Interactions | None = None, **settings: object) -> LightGCN:
    torch.manual_seed(0)
    return LightGCN(train or toy_interactions(), {}, LightGCN.Config(embedding_size=6, **settings))


def set_tables(model: LightGCN, nodes: Tensor) -> None:
    with torch.no_grad():
        model.user_table.copy_(nodes[: model.num_users])
        model.item_table.copy_(nodes[model.num_users :])


def nodes(model: LightGCN) -> Tensor:
    embeddings = model.embed()
    return torch.cat([embeddings.users, embeddings.items])


@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("form", ["squares", "norms"])
def test_loss_and_gradients_equal_the_dense_reading(float64: None, layers: int, form: str) -> None:
    train, batch = toy_interactions(), toy_batch(toy_interactions())
    model = build(layers=layers, regulariser=0.2, regulariser_form=form)
    A = normalised(adjacency(dense(train)))
    E = torch.cat([model.user_table, model.item_table])
    Z = sum(torch.linalg.matrix_power(A, k) @ E for k in range(layers + 1)) / (layers + 1)
    torch.testing.assert_close(nodes(model), Z)
    u, i, j = batch.users, NUM_USERS + batch.positives, NUM_USERS + batch.negatives
    margins = (Z[u] * (Z[i] - Z[j])).sum(1)
    size = sum(E[rows].square().sum() / 2 if form == "squares" else E[rows].norm() for rows in (u, i, j))
    expected = -margins.sigmoid().log().mean() + 0.2 * size / len(batch)
    loss = torch.stack(list(model(batch).values())).sum()
    torch.testing.assert_close(loss, expected)
    weights = [model.user_table, model.item_table]
    torch.testing.assert_close(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights))


def test_the_roots_of_the_degrees_are_a_fixed_point(float64: None) -> None:
    train = toy_interactions()
    root = torch.from_numpy(np.sqrt(np.concatenate([train.user_degrees, train.item_degrees])))[:, None]
    model = build()
    set_tables(model, root * torch.randn(1, 6))
    torch.testing.assert_close(nodes(model), torch.cat([model.user_table, model.item_table]))


def test_propagation_is_linear_and_does_not_lengthen(float64: None) -> None:
    model = build()
    first, second = torch.randn(2, model.num_users + model.num_items, 6)
    propagated = []
    for table in (first, second, 2 * first - 3 * second):
        set_tables(model, table)
        propagated.append(nodes(model).detach())
        assert propagated[-1].norm() <= table.norm()
    torch.testing.assert_close(propagated[2], 2 * propagated[0] - 3 * propagated[1])


def test_an_isolated_node_keeps_a_share_of_itself() -> None:
    model = build(layers=3)
    embeddings = model.embed()
    torch.testing.assert_close(embeddings.users[ISOLATED_USER], model.user_table[ISOLATED_USER] / 4)
    torch.testing.assert_close(embeddings.items[ISOLATED_ITEM], model.item_table[ISOLATED_ITEM] / 4)


def test_on_a_complete_graph_two_layers_give_every_user_the_mean_user(float64: None) -> None:
    full = Interactions.from_pairs(np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4), 4, 3)
    model = build(full, layers=2)
    set_tables(model, torch.cat([torch.randn(4, 6), torch.zeros(3, 6)]))
    mean = model.user_table.mean(0)
    torch.testing.assert_close(model.embed().users * 3, model.user_table + mean)


def test_repeated_interactions_in_the_input_count_once() -> None:
    train = toy_interactions()
    doubled = Interactions.from_pairs(
        np.tile(train.users, 2), np.tile(train.items, 2), train.num_users, train.num_items
    )
    assert torch.equal(nodes(build(train)), nodes(build(doubled)))
