"""MMGCN against a dense reading of its equations, and the checks of its specification."""

import re
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.errors import InputError
from prismrec.models.mmgcn import MMGCN
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


class TestMMGCN(RecommenderContract):
    model = MMGCN


class TestOfficialMMGCN(RecommenderContract):
    model = MMGCN
    config = {"variant": "official", "combination": "elementwise"}


def build(train: Interactions | None = None, features: Mapping[str, Tensor] | None = None, **settings: object) -> MMGCN:
    torch.manual_seed(0)
    return MMGCN(
        toy_interactions() if train is None else train,
        toy_features(2) if features is None else features,
        MMGCN.Config(**{"embedding_size": 6, **settings}),
    )


def loss_of(model: MMGCN, batch: Triplets) -> Tensor:
    return torch.stack(list(model(batch).values())).sum()


def trained_weights(model: MMGCN) -> list[Tensor]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def dense_forward(model: MMGCN, train: Interactions, features: Mapping[str, Tensor]) -> Tensor:
    """The final rows of users and items `[U + I, d]`, from the equations and a dense matrix of means."""
    A = plain.adjacency(plain.dense(train))
    mean = A / A.sum(1, keepdim=True).clamp(min=1)
    outputs = []
    for network, preference, content in zip(model.networks, model.preferences, features.values(), strict=True):
        projected = content.double() if network.projection is None else network.projection(content.double())
        X = F.normalize(torch.cat([preference, projected]))
        for layer in network.layers:
            H = F.leaky_relu(mean @ (X @ layer.kernel))
            anchored = F.leaky_relu(layer.own(X)) + model.node_table
            joined = layer.join(torch.cat([H, anchored], 1)) if layer.concat else layer.join(H) + anchored
            X = F.leaky_relu(joined)
        outputs.append(X)
    total = torch.stack(outputs).sum(0)
    return total if model.config.variant == "paper" else total / len(outputs)


def dense_loss(model: MMGCN, nodes: Tensor, batch: Triplets) -> Tensor:
    """The loss, given the final rows of users and items."""
    users = batch.users
    positives = model.num_users + batch.positives
    negatives = model.num_users + batch.negatives
    margins = (nodes[users] * (nodes[positives] - nodes[negatives])).sum(1)
    user_squares = model.node_table[torch.cat([users, users])].square()
    item_squares = model.node_table[torch.cat([positives, negatives])].square()
    preference_squares = [preference.square().mean() for preference in model.preferences]
    if model.config.variant == "official":
        preference_squares = preference_squares[:1]
    penalty = (user_squares + item_squares).mean() + torch.stack(preference_squares).sum()
    return -torch.log(torch.sigmoid(margins)).mean() + model.config.regulariser * penalty


@pytest.mark.parametrize("num_users", [NUM_USERS, 12])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"variant": "official"},
        {"combination": "elementwise", "layers": 1},
        {"latent_sizes": {"text": 5}, "layers": 3},
    ],
)
def test_embeddings_loss_and_gradients_equal_the_dense_reading(
    float64: None, settings: dict[str, object], num_users: int
) -> None:
    """With more users than items and with fewer, because each kernel is multiplied with the smaller side."""
    train, features = toy_interactions(users=num_users), toy_features(2)
    batch = toy_batch(train)
    model = build(train, features, regulariser=0.3, **settings)
    nodes = dense_forward(model, train, features)
    embeddings = model.embed()
    torch.testing.assert_close(torch.cat([embeddings.users, embeddings.items]), nodes)
    loss = loss_of(model, batch)
    expected = dense_loss(model, nodes, batch)
    torch.testing.assert_close(loss, expected)
    plain.assert_same_gradients(loss, expected, trained_weights(model))


@pytest.mark.parametrize("latent_sizes", [{}, {"text": 5}])
def test_constants_of_an_epoch_follow_the_tables(float64: None, latent_sizes: dict[str, int]) -> None:
    """The tables may change between epochs, for example when a checkpoint is loaded."""
    train = toy_interactions()
    batch = toy_batch(train)
    model = build(train, variant="official", regulariser=0.3, latent_sizes=latent_sizes)
    for epoch in range(2):
        with torch.no_grad():
            model.preferences[0].mul_(torch.rand_like(model.preferences[0]))
        model.start_epoch(epoch, torch.Generator())
        nodes = dense_forward(model, train, toy_features(2))
        expected = dense_loss(model, nodes, batch)
        for _ in range(2):  # the second step reads the constants of the first
            loss = loss_of(model, batch)
            torch.testing.assert_close(loss, expected)
            gradients = torch.autograd.grad(loss, trained_weights(model))
            dense_gradients = torch.autograd.grad(expected, trained_weights(model), retain_graph=True)
            torch.testing.assert_close(gradients, dense_gradients)


def test_embeddings_are_read_from_the_current_tables_within_an_epoch(float64: None) -> None:
    train = toy_interactions()
    model = build(train, variant="official")
    model.start_epoch(0, torch.Generator())
    model(toy_batch(train))
    with torch.no_grad():
        model.preferences[0].mul_(torch.rand_like(model.preferences[0]))
    torch.testing.assert_close(model.embed().users, dense_forward(model, train, toy_features(2))[:NUM_USERS])


def fill_with_golden_values(model: MMGCN) -> None:
    """The weights of the specification."""
    values = {
        "node_table": golden.filler(0, 9, 4),
        "preferences.0": golden.filler(1, 4, 5),
        "preferences.1": golden.filler(30, 4, 3),
    }
    for modality, start in enumerate((1, 30)):
        network = model.networks[modality]
        if network.projection is not None:
            golden.fill_linear(network.projection, start + 1)
        for depth, layer in enumerate(network.layers):
            k = start + 3 + 5 * depth
            values[f"networks.{modality}.layers.{depth}.kernel"] = golden.filler(k, *layer.kernel.shape)
            golden.fill_linear(layer.own, k + 1)
            golden.fill_linear(layer.join, k + 3)
    model.load_state_dict(model.state_dict() | values)


@pytest.mark.parametrize(
    ("combination", "layers", "sum_users", "sum_items", "first", "last", "loss"),
    [
        ("concat", 2, 5.539648935, 7.124829324, 0.770448386, -0.001301617, 0.808855891),
        ("concat", 3, 0.730491904, 1.091178952, 0.037148816, 0.205035232, 0.720987342),
        ("elementwise", 2, 7.555663317, 11.464525840, 0.544441884, 1.016336879, 1.316454548),
        ("elementwise", 3, 2.611877877, 4.467839732, 0.404311018, 1.256490639, 0.916730229),
    ],
)
def test_golden_values(
    float64: None,
    combination: str,
    layers: int,
    sum_users: float,
    sum_items: float,
    first: float,
    last: float,
    loss: float,
) -> None:
    model = build(
        golden.TRAIN,
        golden.features(),
        variant="official",
        embedding_size=4,
        regulariser=0.1,
        combination=combination,
        layers=layers,
        latent_sizes={"visual": 5},
    )
    fill_with_golden_values(model)
    embeddings = model.embed()
    assert embeddings.users.sum().item() == pytest.approx(sum_users, abs=1e-8)
    assert embeddings.items.sum().item() == pytest.approx(sum_items, abs=1e-8)
    assert embeddings.users[0, 0].item() == pytest.approx(first, abs=1e-8)
    assert embeddings.items[4, -1].item() == pytest.approx(last, abs=1e-8)
    assert loss_of(model, golden.BATCH).item() == pytest.approx(loss, abs=1e-8)


@pytest.mark.parametrize(("variant", "factor"), [("paper", 2), ("official", 1)])
def test_the_paper_sums_over_modalities_and_the_official_code_averages(
    float64: None, variant: str, factor: int
) -> None:
    """One modality under two names, with the same weights."""
    matrix = toy_features(1)["visual"]
    single = build(features={"a": matrix}, variant=variant)
    double = build(features={"a": matrix, "b": matrix}, variant=variant)
    weights = single.state_dict()
    copies = {re.sub(r"^(networks|preferences)\.0", r"\1.1", name): weight for name, weight in weights.items()}
    double.load_state_dict(weights | copies)
    torch.testing.assert_close(double.embed().users, factor * single.embed().users)
    torch.testing.assert_close(double.embed().items, factor * single.embed().items)


def test_the_scale_of_a_raw_feature_row_does_not_matter() -> None:
    features = toy_features(2)
    scales = torch.linspace(0.1, 9, NUM_ITEMS).unsqueeze(1)
    scaled = {name: matrix * scales for name, matrix in features.items()}
    torch.testing.assert_close(build(features=scaled).embed().items, build(features=features).embed().items)


def test_kernels_of_zeros_make_the_graph_irrelevant() -> None:
    first, second = build(toy_interactions(0)), build(toy_interactions(1))
    for model in (first, second):
        for name, weight in model.named_parameters():
            if name.endswith("kernel"):
                weight.data.zero_()
    assert torch.equal(first.embed().scores(), second.embed().scores())


def test_a_node_without_interactions_receives_nothing() -> None:
    """It has the embedding that it has in a graph without interactions."""
    empty = Interactions.from_pairs([], [], NUM_USERS, NUM_ITEMS)
    connected, alone = build().embed(), build(empty).embed()
    torch.testing.assert_close(connected.users[ISOLATED_USER], alone.users[ISOLATED_USER])
    torch.testing.assert_close(connected.items[ISOLATED_ITEM], alone.items[ISOLATED_ITEM])
    assert not torch.allclose(connected.users[0], alone.users[0])


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_the_paper_trains_the_tables_and_the_official_code_does_not(variant: str) -> None:
    train = toy_interactions()
    model = build(train, variant=variant)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.Adam(trained_weights(model), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(model, toy_batch(train)).backward()
        optimizer.step()
    after = model.state_dict()
    for name in ("node_table", "preferences.0", "preferences.1"):
        assert torch.equal(after[name], before[name]) == (variant == "official")
    assert not torch.equal(after["networks.0.layers.0.kernel"], before["networks.0.layers.0.kernel"])


def test_wide_modalities_are_projected_to_256_by_default() -> None:
    features = {"wide": torch.randn(NUM_ITEMS, 513), "narrow": torch.randn(NUM_ITEMS, 512)}
    default = build(features=features)
    assert [table.shape[1] for table in default.preferences] == [256, 512]
    chosen = build(features=features, latent_sizes={"wide": None, "narrow": 7})
    assert [table.shape[1] for table in chosen.preferences] == [513, 7]


def test_a_latent_size_for_an_unknown_modality_is_refused() -> None:
    with pytest.raises(InputError, match=r"latent_sizes: found modality 'vision'; expected one of visual, text"):
        build(latent_sizes={"vision": 5})


@pytest.mark.parametrize(("variant", "layers"), [("paper", 2), ("official", 3)])
def test_the_number_of_layers_follows_the_variant(variant: str, layers: int) -> None:
    assert len(build(variant=variant).networks[0].layers) == layers
    assert len(build(variant=variant, layers=1).networks[0].layers) == 1
