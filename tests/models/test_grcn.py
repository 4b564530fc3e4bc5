from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.models.grcn import GRCN, GRCNConfig
from prismrec.testing import (
    ISOLATED_ITEM,
    ISOLATED_USER,
    NUM_ITEMS,
    NUM_USERS,
    RecommenderContract,
    toy_batch,
    toy_features,
    toy_interactions,
)
from prismrec.types import Interactions, Triplets

import golden


class TestGRCN(RecommenderContract):
    model = GRCN
    config = {"content_size": 5}


class TestMMRecGRCN(RecommenderContract):
    model = GRCN
    config = {"content_size": 5, "variant": "mmrec"}


def build(train: Interactions | None = None, features: Mapping[str, Tensor] | None = None, **settings: object) -> GRCN:
    torch.manual_seed(0)
    return GRCN(
        toy_interactions() if train is None else train,
        toy_features(2) if features is None else features,
        GRCNConfig(**{"embedding_size": 6, "content_size": 5, **settings}),
    )


def dense_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Along rows, over the stored entries only; rows without any are 0."""
    return scores.masked_fill(~mask, -1e300).softmax(1) * mask


def dense_forward(model: GRCN, train: Interactions, features: Mapping[str, Tensor]) -> Tensor:
    """The definition on stacked nodes; entry (v, s) of a dense matrix is the message from s to v."""
    R = torch.from_numpy(train.csr.toarray() > 0)
    A = torch.zeros(sum(R.shape), sum(R.shape), dtype=torch.bool)
    A[: len(R), len(R) :], A[len(R) :, : len(R)] = R, R.T
    parts, attentions, config = [], [], model.config
    for prototype, projection, content in zip(model.prototypes, model.projections, features.values(), strict=True):
        items, users = F.normalize(F.leaky_relu(projection(content.double()))), F.normalize(prototype)
        for _ in range(config.routing_steps if config.variant == "paper" else 0):
            users = F.normalize(users + dense_softmax(users @ items.T, R) @ items)
        X = torch.cat([users, items])
        attentions.append(dense_softmax(X @ X.T, A))
        parts.append(X + attentions[-1] @ X)
    attention = torch.stack(attentions, 2)  # [N, N, M]
    if config.edge_weights == "mean":
        weights = attention.mean(2)
    else:
        confidence = model.confidence if config.edge_weights == "confidence" else torch.ones(len(A), len(parts))
        weights = (attention * confidence).max(2).values
    if config.prunes_hard:
        weights = torch.relu(weights)
    Y = F.normalize(model.node_table)
    propagated = Y + weights @ Y + weights @ weights @ Y
    return propagated if config.readout == "id" else torch.cat([propagated, *parts], 1)


def dense_loss(model: GRCN, nodes: Tensor, batch: Triplets) -> Tensor:
    u, i, j = batch.users, NUM_USERS + batch.positives, NUM_USERS + batch.negatives
    bpr = -torch.log(torch.sigmoid((nodes[u] * (nodes[i] - nodes[j])).sum(1))).mean()
    twice = model.node_table[torch.cat([u, u])].square() + model.node_table[torch.cat([i, j])].square()
    penalty = twice.mean() + sum(prototype[u].square().mean() for prototype in model.prototypes)
    if model.config.variant == "mmrec":
        penalty = penalty + model.prototypes[0].square().mean()
    return bpr + model.config.regulariser * penalty


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("settings", "modalities"),
    [
        ({}, 1),
        ({}, 3),
        ({"pruning": "hard", "routing_steps": 1}, 2),
        ({"edge_weights": "max"}, 2),
        ({"edge_weights": "mean", "readout": "id"}, 3),
        ({"variant": "official"}, 2),
        ({"variant": "mmrec"}, 2),
    ],
)
def test_value_and_gradient_are_those_of_the_dense_definition(settings: dict[str, object], modalities: int) -> None:
    train, features = toy_interactions(), toy_features(modalities)
    model, batch = build(train, features, regulariser=0.3, **settings), toy_batch(train)
    model.confidence.data.normal_()  # large enough for the ID part to matter
    nodes = dense_forward(model, train, features)
    embeddings = model.embed()
    torch.testing.assert_close(torch.cat([embeddings.users, embeddings.items]), nodes)
    loss, expected = sum(model(batch).values()), dense_loss(model, nodes, batch)
    torch.testing.assert_close(loss, expected)
    weights = list(model.parameters())
    found, gradients = (
        torch.autograd.grad(term, weights, allow_unused=True, materialize_grads=True) for term in (loss, expected)
    )
    torch.testing.assert_close(found, gradients)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("variant", "pruning", "sum_users", "sum_items", "first", "loss"),
    [
        ("official", "hard", 4.026893470, 11.703375012, 0.457950481, 0.635657017),
        ("mmrec", "hard", 4.026893470, 11.703375012, 0.457950481, 0.641934529),
        ("official", "soft", 3.204807501, 11.997565632, 0.314426297, 0.685749934),
        ("paper", "hard", 8.120262646, 13.196140941, 0.457950481, 0.255042444),
        ("paper", "soft", 7.285690927, 13.583547925, 0.318427165, 0.291866547),
    ],
)
def test_golden_values(
    variant: str, pruning: str, sum_users: float, sum_items: float, first: float, loss: float
) -> None:
    settings = {"variant": variant, "pruning": pruning, "embedding_size": 4, "content_size": 3, "regulariser": 0.1}
    model = build(golden.TRAIN, golden.features(), **settings)
    values = {"node_table": golden.filler(0, 9, 4), "confidence": golden.filler(1, 9, 2)}
    for m, width in enumerate((6, 3)):
        values[f"prototypes.{m}"] = golden.filler(2 + 3 * m, 4, 3)
        values[f"projections.{m}.weight"] = golden.filler(3 + 3 * m, 3, width)
        values[f"projections.{m}.bias"] = golden.filler(4 + 3 * m, 3)
    model.load_state_dict(values)
    embeddings = model.embed()
    found = [embeddings.users.sum(), embeddings.items.sum(), embeddings.users[0, 0], embeddings.items[4, -1]]
    found.append(sum(model(golden.BATCH).values()))
    expected = torch.tensor([sum_users, sum_items, first, 0.557944455, loss])
    torch.testing.assert_close(torch.stack(found), expected, rtol=0, atol=1e-8)


@pytest.mark.usefixtures("float64")
def test_only_the_paper_routes_its_users() -> None:
    def users(variant: str, steps: int) -> Tensor:
        return build(variant=variant, pruning="soft", routing_steps=steps).embed().users

    assert torch.equal(users("official", 3), users("official", 0))
    assert not torch.allclose(users("paper", 3), users("paper", 0))
    torch.testing.assert_close(users("paper", 0), users("official", 0))


@pytest.mark.usefixtures("float64")
def test_a_user_with_one_item_is_routed_towards_it() -> None:
    train = Interactions.from_pairs([0, 1, 1], [2, 0, 1], 2, 3)
    model = build(train, {"visual": torch.randn(3, 4)}, routing_steps=2)
    item = F.normalize(F.leaky_relu(model.projections[0](next(iter(model.features)))))[2]
    routed = F.normalize(model.prototypes[0][0], dim=0)
    for _ in range(2):
        routed = F.normalize(routed + item, dim=0)
    torch.testing.assert_close(model.embed().users[0, 6:], routed + item)


@pytest.mark.usefixtures("float64")
def test_nodes_without_interactions_keep_what_they_are() -> None:
    model = build()
    embeddings, ids = model.embed(), F.normalize(model.node_table)
    content = [F.normalize(F.leaky_relu(f(x))) for f, x in zip(model.projections, model.features, strict=True)]
    prototypes = [F.normalize(prototype) for prototype in model.prototypes]
    alone = torch.cat([ids[NUM_USERS + ISOLATED_ITEM], *(rows[ISOLATED_ITEM] for rows in content)])
    torch.testing.assert_close(embeddings.items[ISOLATED_ITEM], alone)
    alone = torch.cat([ids[ISOLATED_USER], *(rows[ISOLATED_USER] for rows in prototypes)])
    torch.testing.assert_close(embeddings.users[ISOLATED_USER], alone)


def test_without_confidence_ids_do_not_propagate() -> None:
    model = build()
    model.confidence.data.zero_()
    embeddings = model.embed()
    ids = torch.cat([embeddings.users[:, :6], embeddings.items[:, :6]])
    torch.testing.assert_close(ids, F.normalize(model.node_table))


def test_hard_pruning_silences_nodes_without_any_positive_confidence_for_good() -> None:
    train = toy_interactions()
    model = build(train, pruning="hard")
    model.confidence.data[NUM_USERS:] = -1.0  # all items: users receive nothing, items still do
    embeddings, ids = model.embed(), F.normalize(model.node_table)
    torch.testing.assert_close(embeddings.users[:, :6], ids[:NUM_USERS])
    assert not torch.allclose(embeddings.items[:, :6], ids[NUM_USERS:])
    sum(model(toy_batch(train)).values()).backward()
    assert not model.confidence.grad[NUM_USERS:].any()
    assert model.confidence.grad[:NUM_USERS].any()


@pytest.mark.usefixtures("float64")
def test_the_length_of_table_rows_does_not_matter() -> None:
    model = build()
    before = model.embed()
    for table in (model.node_table, *model.prototypes):
        table.data.mul_(torch.linspace(0.1, 9, len(table))[:, None])
    torch.testing.assert_close(model.embed().users, before.users)
    torch.testing.assert_close(model.embed().items, before.items)


@pytest.mark.usefixtures("float64")
def test_equal_content_makes_a_user_attend_evenly() -> None:
    model = build(features={"visual": torch.ones(NUM_ITEMS, 3)}, edge_weights="max")
    affinity = model._affinity(model.prototypes[0], F.normalize(torch.ones(NUM_ITEMS, 5)))
    degrees = torch.from_numpy(toy_interactions().user_degrees)
    torch.testing.assert_close(affinity.to_users, 1.0 / degrees[model.edge_users])


@pytest.mark.parametrize(("variant", "hard"), [("paper", False), ("official", True), ("mmrec", True)])
def test_pruning_follows_the_variant_unless_told_otherwise(variant: str, hard: bool) -> None:
    assert GRCNConfig(variant=variant).prunes_hard == hard
    assert GRCNConfig(variant=variant, pruning="hard").prunes_hard
    assert not GRCNConfig(variant=variant, pruning="soft").prunes_hard
