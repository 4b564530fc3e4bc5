import numpy as np
import pytest
import torch
from torch import Tensor

from prismrec.graph import BipartiteGraph
from prismrec.models.lightgcn import LightGCN
from prismrec.models.sgl import SGL
from prismrec.testing import NUM_ITEMS, NUM_USERS, RecommenderContract, toy_batch, toy_interactions
from prismrec.types import Interactions, Triplets


class TestSGL(RecommenderContract):
    model = SGL


class TestSGLNodeDropout(RecommenderContract):
    model = SGL
    config = {"augmentation": "node_dropout"}


class TestSGLRandomWalk(RecommenderContract):
    model = SGL
    config = {"augmentation": "random_walk", "reduction": "mean"}


AUGMENTATIONS = ["edge_dropout", "node_dropout", "random_walk"]


def build(**settings: object) -> SGL:
    torch.manual_seed(0)
    values = {"embedding_size": 4, "drop_ratio": 0.3, **settings}
    model = SGL(toy_interactions(), {}, SGL.Config(**values))
    model.start_epoch(0, torch.Generator().manual_seed(0))
    return model


def half(graph: BipartiteGraph) -> Tensor:
    """The weights of a graph as a dense matrix `[U, I]`."""
    return graph.users_from(torch.eye(NUM_ITEMS))


def normalised(kept: Tensor) -> Tensor:
    """The symmetrically normalised square graph of a 0/1 matrix `[U, I]`."""
    A = torch.zeros(NUM_USERS + NUM_ITEMS, NUM_USERS + NUM_ITEMS)
    A[:NUM_USERS, NUM_USERS:], A[NUM_USERS:, :NUM_USERS] = kept, kept.T
    return A / (A.sum(1, keepdim=True) * A.sum(0, keepdim=True)).sqrt().clamp(min=1)


def dense_loss(model: SGL, batch: Triplets) -> Tensor:
    """The loss from dense square graphs and whole matrices of similarities."""
    config = model.config
    E = torch.cat([model.user_table, model.item_table])

    def mean_of_layers(graphs: list[Tensor]) -> Tensor:
        layers = [E]
        for graph in graphs:
            layers.append(graph @ layers[-1])
        return torch.stack(layers).mean(0)

    def graphs_of_layers(view: tuple[BipartiteGraph, ...]) -> list[Tensor]:
        graphs = view if len(view) > 1 else view * config.layers
        return [normalised((half(graph) > 0).to(E)) for graph in graphs]

    Z = mean_of_layers([normalised(torch.from_numpy(toy_interactions().csr.toarray()).to(E))] * config.layers)
    first = torch.nn.functional.normalize(mean_of_layers(graphs_of_layers(model.first_view)), dim=1)
    second = torch.nn.functional.normalize(mean_of_layers(graphs_of_layers(model.second_view)), dim=1)
    u, i, j = batch.users, NUM_USERS + batch.positives, NUM_USERS + batch.negatives
    total = -((Z[u] * (Z[i] - Z[j])).sum(1)).sigmoid().log().sum()
    total = total + config.regulariser / 2 * sum(E[rows].square().sum() for rows in (u, i, j))
    for rows, all_rows in ((u, slice(0, NUM_USERS)), (i, slice(NUM_USERS, None))):
        similarity = first[rows] @ second[all_rows].T / config.temperature
        positive = (first[rows] * second[rows]).sum(1) / config.temperature
        total = total + config.contrast_weight * (similarity.logsumexp(1) - positive).sum()
    return total


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_loss_and_gradients_equal_the_dense_reading(augmentation: str, float64: None) -> None:
    model, batch = build(augmentation=augmentation, regulariser=0.3), toy_batch(toy_interactions())
    loss, plain = torch.stack(list(model(batch).values())).sum(), dense_loss(model, batch)
    torch.testing.assert_close(loss, plain)
    parameters = list(model.parameters())
    torch.testing.assert_close(torch.autograd.grad(loss, parameters), torch.autograd.grad(plain, parameters))


def test_without_the_contrast_it_is_lightgcn_times_the_batch_size(float64: None) -> None:
    train = toy_interactions()
    model, batch = build(contrast_weight=0, regulariser=0.2), toy_batch(train)
    plain = LightGCN(train, {}, LightGCN.Config(embedding_size=4, regulariser=0.2))
    plain.load_state_dict(model.state_dict())
    loss = torch.stack(list(model(batch).values())).sum()
    expected = len(batch) * torch.stack(list(plain(batch).values())).sum()
    torch.testing.assert_close(loss, expected)
    expected_gradients = torch.autograd.grad(expected, list(plain.parameters()))
    torch.testing.assert_close(torch.autograd.grad(loss, list(model.parameters())), expected_gradients)


def test_the_sum_is_the_mean_times_the_batch_size() -> None:
    batch = toy_batch(toy_interactions())
    summed, mean = build(reduction="sum")(batch), build(reduction="mean")(batch)
    torch.testing.assert_close(summed, {name: len(batch) * term for name, term in mean.items()})


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_with_a_drop_ratio_of_zero_views_are_the_graph(augmentation: str) -> None:
    model = build(augmentation=augmentation, drop_ratio=0)
    for view in (model.first_view, model.second_view):
        for graph in view:
            torch.testing.assert_close(half(graph), half(model.graph))


def test_edge_dropout_keeps_an_exact_number_of_interactions() -> None:
    model, train = build(), toy_interactions()
    first, second = half(model.first_view[0]), half(model.second_view[0])
    for view in (first, second):
        assert (view > 0).sum() == int(len(train) * 0.7)
        assert not (view > half(model.graph).gt(0)).any()
        torch.testing.assert_close(view, normalised((view > 0).float())[:NUM_USERS, NUM_USERS:])
    assert not torch.equal(first > 0, second > 0)


def test_node_dropout_removes_an_exact_number_of_nodes_with_all_their_interactions() -> None:
    everything = Interactions.from_pairs(*np.indices((NUM_USERS, NUM_ITEMS)), NUM_USERS, NUM_ITEMS)
    model = SGL(everything, {}, SGL.Config(augmentation="node_dropout", drop_ratio=0.3))
    model.start_epoch(0, torch.Generator().manual_seed(0))
    for (graph,) in (model.first_view, model.second_view):
        kept = half(graph) > 0
        assert kept.any(1).sum() == NUM_USERS - int(0.3 * NUM_USERS)
        assert kept.any(0).sum() == NUM_ITEMS - int(0.3 * NUM_ITEMS)
        assert torch.equal(kept, kept.any(1, keepdim=True) & kept.any(0, keepdim=True))


def test_a_random_walk_has_another_graph_in_each_layer() -> None:
    model = build(augmentation="random_walk")
    patterns = [half(graph) > 0 for view in (model.first_view, model.second_view) for graph in view]
    assert len(patterns) == 6
    assert all((pattern.sum() == int(len(toy_interactions()) * 0.7)) for pattern in patterns)
    assert len({tuple(pattern.flatten().tolist()) for pattern in patterns}) == 6


def test_a_random_walk_with_equal_graphs_is_edge_dropout() -> None:
    batch = toy_batch(toy_interactions())
    model = build()
    once = model(batch)
    model.first_view, model.second_view = model.first_view * 3, model.second_view * 3
    torch.testing.assert_close(model(batch), once)


def test_views_change_between_epochs_only() -> None:
    model, batch = build(), toy_batch(toy_interactions())
    first = model(batch)["contrast"].item()
    assert model(batch)["contrast"].item() == first
    model.start_epoch(1, torch.Generator().manual_seed(1))
    assert model(batch)["contrast"].item() != first
    model.start_epoch(0, torch.Generator().manual_seed(0))
    assert model(batch)["contrast"].item() == first


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_evaluation_uses_the_complete_graph(augmentation: str) -> None:
    plain = LightGCN(toy_interactions(), {}, LightGCN.Config(embedding_size=4))
    model = build(augmentation=augmentation)
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model.embed().scores(), plain.embed().scores())
