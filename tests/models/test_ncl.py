import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.models.lightgcn import LightGCN
from prismrec.models.ncl import NCL
from prismrec.testing import NUM_ITEMS, NUM_USERS, RecommenderContract, toy_batch, toy_interactions
from prismrec.types import Triplets


class TestNCL(RecommenderContract):
    model = NCL
    config = {"clusters": 6, "warm_up_epochs": 0}


def build(start: bool = True, **settings: object) -> NCL:
    torch.manual_seed(0)
    values = {"embedding_size": 4, "clusters": 5, "warm_up_epochs": 0, "structure_weight": 0.2, "prototype_weight": 0.3}
    model = NCL(toy_interactions(), {}, NCL.Config(**{**values, **settings}))
    if start:
        model.start_epoch(0, torch.Generator())
    return model


def dense_loss(model: NCL, batch: Triplets) -> Tensor:
    """The loss from a dense square graph and whole matrices of similarities."""
    config = model.config
    R = torch.from_numpy(toy_interactions().csr.toarray()).to(model.user_table)
    U, N = NUM_USERS, NUM_USERS + NUM_ITEMS
    A = torch.zeros(N, N)
    A[:U, U:], A[U:, :U] = R, R.T
    graph = A / (A.sum(1, keepdim=True) * A.sum(0, keepdim=True)).sqrt().clamp(min=1)
    E = torch.cat([model.user_table, model.item_table])
    layers = [E]
    for _ in range(6):
        layers.append(graph @ layers[-1])
    Z = torch.stack(layers[: config.layers + 1]).mean(0)
    ego, context = F.normalize(E, dim=1), F.normalize(layers[2 * config.hyper_layers], dim=1)
    u, i, j = batch.users, U + batch.positives, U + batch.negatives

    def contrast(anchors: Tensor, candidates: Tensor, positives: Tensor) -> Tensor:
        similarity = anchors @ candidates.T / config.temperature
        return (similarity.logsumexp(1) - similarity[range(len(anchors)), positives]).sum()

    total = -((Z[u] * (Z[i] - Z[j])).sum(1)).sigmoid().log().mean()
    total = total + config.regulariser / len(batch) * sum(E[rows].norm() for rows in (u, i, j))
    structure = contrast(context[u], ego[:U], u) + config.item_weight * contrast(context[i], ego[U:], batch.positives)
    of_users = contrast(ego[u], model.user_centroids, model.user_clusters[u])
    of_items = contrast(ego[i], model.item_centroids, model.item_clusters[batch.positives])
    prototype = of_users + config.prototype_item_weight * of_items
    return total + config.structure_weight * structure + config.prototype_weight * prototype


@pytest.mark.parametrize(("layers", "hyper_layers"), [(3, 1), (1, 2), (0, 1)])
def test_loss_and_gradients_equal_the_dense_reading(layers: int, hyper_layers: int, float64: None) -> None:
    weights = {"item_weight": 1.5, "prototype_item_weight": 0.7, "regulariser": 0.4}
    model, batch = build(layers=layers, hyper_layers=hyper_layers, **weights), toy_batch(toy_interactions())
    loss, plain = torch.stack(list(model(batch).values())).sum(), dense_loss(model, batch)
    torch.testing.assert_close(loss, plain)
    parameters = list(model.parameters())
    torch.testing.assert_close(torch.autograd.grad(loss, parameters), torch.autograd.grad(plain, parameters))


@pytest.mark.parametrize("hyper_layers", [1, 3])
def test_without_contrasts_it_is_lightgcn(hyper_layers: int) -> None:
    train = toy_interactions()
    model = build(structure_weight=0, prototype_weight=0, hyper_layers=hyper_layers)
    plain = LightGCN(train, {}, LightGCN.Config(embedding_size=4, regulariser_form="norms"))
    plain.load_state_dict({name: table for name, table in model.state_dict().items() if name.endswith("table")})
    torch.testing.assert_close(model(toy_batch(train)), plain(toy_batch(train)))
    assert torch.equal(model.embed().scores(), plain.embed().scores())


def test_the_prototype_contrast_starts_after_the_warm_up() -> None:
    model, batch = build(start=False, warm_up_epochs=2, cluster_every=2), toy_batch(toy_interactions())
    seen = []
    for epoch in range(4):
        model.start_epoch(epoch, torch.Generator())
        seen.append((model.user_centroids.any().item(), "prototype" in model(batch)))
    assert seen == [(False, False), (False, False), (True, True), (True, True)]


def test_a_clustering_in_the_warm_up_serves_the_epochs_after_it() -> None:
    model = build(start=False, warm_up_epochs=1, cluster_every=2)
    model.start_epoch(0, torch.Generator())  # epoch 1 uses it
    assert model.user_centroids.any()
    assert "prototype" not in model(toy_batch(toy_interactions()))


def test_a_run_resumed_between_two_clusterings_uses_the_last_clustering() -> None:
    batch = toy_batch(toy_interactions())
    model = build(cluster_every=2)
    with torch.no_grad():
        model.user_table += 1  # with these weights, a clustering would be another one
    twin = build(start=False, cluster_every=2)
    twin.load_state_dict(model.state_dict())
    for run in (model, twin):
        run.start_epoch(1, torch.Generator())
    torch.testing.assert_close(twin(batch), model(batch), rtol=0, atol=0)


def test_nodes_belong_to_the_nearest_centroid_before_normalisation() -> None:
    model = build()
    torch.testing.assert_close(model.user_centroids.norm(dim=1), torch.ones(5))
    members = model.user_clusters
    means = torch.stack([model.user_table[members == cluster].mean(0) for cluster in range(5)])
    torch.testing.assert_close(F.normalize(means, dim=1), model.user_centroids)
    assert torch.equal(torch.cdist(model.user_table, means).argmin(1), members)


def test_there_are_at_most_as_many_clusters_as_nodes() -> None:
    model = build(clusters=1000)
    assert len(model.user_centroids) == NUM_USERS
    assert torch.equal(model.user_clusters, torch.arange(NUM_USERS))


def test_a_single_cluster_gives_no_contrast() -> None:
    model = build(clusters=1)
    term = model(toy_batch(toy_interactions()))["prototype"]
    assert term.item() == pytest.approx(0, abs=1e-5)
    gradient = torch.autograd.grad(term, model.user_table)[0]
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-5)


def test_contrasts_do_not_depend_on_the_scale_of_the_tables() -> None:
    model, batch = build(), toy_batch(toy_interactions())
    before = model(batch)
    with torch.no_grad():
        for table in model.parameters():
            table.mul_(3)
    after = model(batch)
    for name in ("structure", "prototype"):
        torch.testing.assert_close(after[name], before[name])


def test_clustering_changes_neither_weights_nor_the_random_generator() -> None:
    model = build(start=False)
    tables, state = [table.clone() for table in model.parameters()], torch.get_rng_state()
    generator = torch.Generator().manual_seed(3)
    model.start_epoch(0, generator)
    assert all(torch.equal(a, b) for a, b in zip(tables, model.parameters(), strict=True))
    assert torch.equal(state, torch.get_rng_state())
