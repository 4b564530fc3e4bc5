"""GRCN against a dense reading of its equations, and the checks of its specification."""

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.models.grcn import GRCN
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
import plain


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
        GRCN.Config(**{"embedding_size": 6, "content_size": 5, **settings}),
    )


def loss_of(model: GRCN, batch: Triplets) -> Tensor:
    return torch.stack(list(model(batch).values())).sum()


def content_of(model: GRCN, modality: int) -> Tensor:
    """The projected features of a modality, rows scaled to length 1, `[I, d_C]`."""
    features = list(model.features)[modality]
    return F.normalize(F.leaky_relu(model.projections[modality](features)))


def dense_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """The softmax of each row over the entries of the mask; rows without such entries are 0."""
    return scores.masked_fill(~mask, -1e300).softmax(1) * mask


def dense_forward(model: GRCN, train: Interactions, features: Mapping[str, Tensor]) -> Tensor:
    """The final rows of users and items, from the equations; entry (v, s) of a matrix is the message from s to v."""
    config = model.config
    R = plain.dense(train) > 0  # [U, I]
    A = plain.adjacency(plain.dense(train)) > 0  # [N, N], N = U + I
    parts, attentions = [], []
    for prototype, projection, content in zip(model.prototypes, model.projections, features.values(), strict=True):
        items = F.normalize(F.leaky_relu(projection(content.double())))
        users = F.normalize(prototype)
        for _ in range(config.routing_steps if config.variant == "paper" else 0):
            users = F.normalize(users + dense_softmax(users @ items.T, R) @ items)
        X = torch.cat([users, items])
        attentions.append(dense_softmax(X @ X.T, A))
        parts.append(X + attentions[-1] @ X)
    attention = torch.stack(attentions, 2)  # [N, N, M]
    if config.edge_weights == "mean":
        weights = attention.mean(2)
    elif config.edge_weights == "max":
        weights = attention.amax(2)
    else:
        weights = (attention * model.confidence).max(2).values
    if config.prunes_hard:
        weights = torch.relu(weights)
    Y = F.normalize(model.node_table)
    propagated = Y + weights @ Y + weights @ weights @ Y
    return propagated if config.readout == "id" else torch.cat([propagated, *parts], 1)


def dense_loss(model: GRCN, nodes: Tensor, batch: Triplets) -> Tensor:
    """The loss, given the final rows of users and items."""
    users, positives, negatives = batch.users, NUM_USERS + batch.positives, NUM_USERS + batch.negatives
    margins = (nodes[users] * (nodes[positives] - nodes[negatives])).sum(1)
    user_squares = model.node_table[torch.cat([users, users])].square()
    item_squares = model.node_table[torch.cat([positives, negatives])].square()
    penalty = (user_squares + item_squares).mean()
    for prototype in model.prototypes:
        penalty = penalty + prototype[users].square().mean()
    if model.config.variant == "mmrec":
        penalty = penalty + model.prototypes[0].square().mean()
    return -torch.log(torch.sigmoid(margins)).mean() + model.config.regulariser * penalty


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
def test_embeddings_loss_and_gradients_equal_the_dense_reading(
    float64: None, settings: dict[str, object], modalities: int
) -> None:
    train, features = toy_interactions(), toy_features(modalities)
    batch = toy_batch(train)
    model = build(train, features, regulariser=0.3, **settings)
    model.confidence.data.normal_()  # large enough for the ID part to matter
    nodes = dense_forward(model, train, features)
    embeddings = model.embed()
    torch.testing.assert_close(torch.cat([embeddings.users, embeddings.items]), nodes)
    loss = loss_of(model, batch)
    expected = dense_loss(model, nodes, batch)
    torch.testing.assert_close(loss, expected)
    unused = {"allow_unused": True, "materialize_grads": True}
    plain.assert_same_gradients(loss, expected, model.parameters(), **unused)


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
    float64: None, variant: str, pruning: str, sum_users: float, sum_items: float, first: float, loss: float
) -> None:
    settings = {"variant": variant, "pruning": pruning, "embedding_size": 4, "content_size": 3, "regulariser": 0.1}
    model = build(golden.TRAIN, golden.features(), **settings)
    with torch.no_grad():
        model.node_table.copy_(golden.filler(0, 9, 4))
        model.confidence.copy_(golden.filler(1, 9, 2))
        model.prototypes[0].copy_(golden.filler(2, 4, 3))
        model.prototypes[1].copy_(golden.filler(5, 4, 3))
    golden.fill_linear(model.projections[0], 3)
    golden.fill_linear(model.projections[1], 6)
    embeddings = model.embed()
    assert embeddings.users.sum().item() == pytest.approx(sum_users, abs=1e-8)
    assert embeddings.items.sum().item() == pytest.approx(sum_items, abs=1e-8)
    assert embeddings.users[0, 0].item() == pytest.approx(first, abs=1e-8)
    assert embeddings.items[4, -1].item() == pytest.approx(0.557944455, abs=1e-8)
    assert loss_of(model, golden.BATCH).item() == pytest.approx(loss, abs=1e-8)


def test_routing_has_an_effect_in_the_paper_only(float64: None) -> None:
    def users(variant: str, steps: int) -> Tensor:
        return build(variant=variant, pruning="soft", routing_steps=steps).embed().users

    assert torch.equal(users("official", 3), users("official", 0))
    assert not torch.allclose(users("paper", 3), users("paper", 0))
    torch.testing.assert_close(users("paper", 0), users("official", 0))


def test_a_user_with_one_item_is_routed_towards_it(float64: None) -> None:
    train = Interactions.from_pairs([0, 1, 1], [2, 0, 1], 2, 3)
    model = build(train, {"visual": torch.randn(3, 4)}, routing_steps=2)
    item = content_of(model, 0)[2]
    routed = F.normalize(model.prototypes[0][0], dim=0)
    for _ in range(2):
        routed = F.normalize(routed + item, dim=0)
    torch.testing.assert_close(model.embed().users[0, 6:], routed + item)


def test_nodes_without_interactions_keep_their_ids_prototypes_and_content(float64: None) -> None:
    model = build()
    embeddings, ids = model.embed(), F.normalize(model.node_table)
    content = [content_of(model, modality)[ISOLATED_ITEM] for modality in range(2)]
    prototypes = [F.normalize(prototype)[ISOLATED_USER] for prototype in model.prototypes]
    expected_item = torch.cat([ids[NUM_USERS + ISOLATED_ITEM], *content])
    expected_user = torch.cat([ids[ISOLATED_USER], *prototypes])
    torch.testing.assert_close(embeddings.items[ISOLATED_ITEM], expected_item)
    torch.testing.assert_close(embeddings.users[ISOLATED_USER], expected_user)


def test_without_confidence_ids_do_not_propagate() -> None:
    model = build()
    model.confidence.data.zero_()
    embeddings = model.embed()
    ids = torch.cat([embeddings.users[:, :6], embeddings.items[:, :6]])
    torch.testing.assert_close(ids, F.normalize(model.node_table))


def test_hard_pruning_silences_nodes_without_positive_confidence_permanently() -> None:
    """Their confidences get no gradient."""
    train = toy_interactions()
    model = build(train, pruning="hard")
    model.confidence.data[NUM_USERS:] = -1.0  # items are silent, so users receive nothing
    embeddings, ids = model.embed(), F.normalize(model.node_table)
    torch.testing.assert_close(embeddings.users[:, :6], ids[:NUM_USERS])
    assert not torch.allclose(embeddings.items[:, :6], ids[NUM_USERS:])
    loss_of(model, toy_batch(train)).backward()
    assert not model.confidence.grad[NUM_USERS:].any()
    assert model.confidence.grad[:NUM_USERS].any()


def test_the_length_of_table_rows_does_not_matter(float64: None) -> None:
    model = build()
    before = model.embed()
    for table in (model.node_table, *model.prototypes):
        table.data.mul_(torch.linspace(0.1, 9, len(table)).unsqueeze(1))
    after = model.embed()
    torch.testing.assert_close(after.users, before.users)
    torch.testing.assert_close(after.items, before.items)


def test_users_attend_evenly_to_items_with_equal_content(float64: None) -> None:
    train = toy_interactions()
    model = build(train)
    affinity = model._attend(F.normalize(model.prototypes[0]), F.normalize(torch.ones(NUM_ITEMS, 5)))
    degrees = torch.from_numpy(train.user_degrees)
    torch.testing.assert_close(affinity.to_users, 1.0 / degrees[model.edge_users])


@pytest.mark.parametrize(("variant", "is_hard"), [("paper", False), ("official", True), ("mmrec", True)])
def test_pruning_follows_the_variant_by_default(variant: str, is_hard: bool) -> None:
    assert GRCN.Config(variant=variant).prunes_hard == is_hard
    assert GRCN.Config(variant=variant, pruning="hard").prunes_hard
    assert not GRCN.Config(variant=variant, pruning="soft").prunes_hard
