import re
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.errors import InputError
from prismrec.models.mmgcn import MMGCN, MMGCNConfig
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


class TestMMGCN(RecommenderContract):
    model = MMGCN


class TestOfficialMMGCN(RecommenderContract):
    model = MMGCN
    config = {"variant": "official", "combination": "elementwise"}

    def to_meta(self, model: MMGCN) -> None:
        super().to_meta(model)
        model._constant = model._look_up()  # what the trainer, which moves the model first, has there


def build(train: Interactions | None = None, features: Mapping[str, Tensor] | None = None, **settings: object) -> MMGCN:
    torch.manual_seed(0)
    return MMGCN(
        toy_interactions() if train is None else train,
        toy_features(2) if features is None else features,
        MMGCNConfig(**{"embedding_size": 6, **settings}),
    )


def dense_forward(model: MMGCN, train: Interactions, features: Mapping[str, Tensor]) -> Tensor:
    """The definition on stacked nodes, with a dense mean over neighbours."""
    R = torch.from_numpy(train.csr.toarray()).double()
    A = torch.zeros(len(R) + R.shape[1], len(R) + R.shape[1])
    A[: len(R), len(R) :], A[len(R) :, : len(R)] = R, R.T
    mean = A / A.sum(1, keepdim=True).clamp(min=1)
    outputs = []
    for network, preference, content in zip(model.networks, model.preferences, features.values(), strict=True):
        projected = content.double() if network.projection is None else network.projection(content.double())
        X = F.normalize(torch.cat([preference, projected]))
        for layer in network.layers:
            H = F.leaky_relu(mean @ (X @ layer.kernel))
            own = F.leaky_relu(layer.own(X)) + model.node_table
            joined = layer.join(torch.cat([H, own], 1)) if layer.concat else layer.join(H) + own
            X = F.leaky_relu(joined)
        outputs.append(X)
    return sum(outputs) if model.config.is_paper else sum(outputs) / len(outputs)


def dense_loss(model: MMGCN, nodes: Tensor, batch: Triplets) -> Tensor:
    u, i, j = batch.users, NUM_USERS + batch.positives, NUM_USERS + batch.negatives
    bpr = -torch.log(torch.sigmoid((nodes[u] * (nodes[i] - nodes[j])).sum(1))).mean()
    twice = model.node_table[torch.cat([u, u])].square() + model.node_table[torch.cat([i, j])].square()
    squares = [preference.square().mean() for preference in model.preferences]
    penalty = twice.mean() + (sum(squares) if model.config.is_paper else squares[0])
    return bpr + model.config.regulariser * penalty


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("many_users", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"variant": "official"},
        {"combination": "elementwise", "layers": 1},
        {"latent_sizes": {"text": 5}, "layers": 3},
    ],
)
def test_value_and_gradient_are_those_of_the_dense_definition(settings: dict[str, object], many_users: bool) -> None:
    # With few users the kernels meet the other side of the graph.
    train = toy_interactions() if many_users else toy_interactions(users=12)
    features, batch = toy_features(2), toy_batch(train)
    model = build(train, features, regulariser=0.3, **settings)
    nodes = dense_forward(model, train, features)
    embeddings = model.embed()
    torch.testing.assert_close(torch.cat([embeddings.users, embeddings.items]), nodes)
    if not many_users:
        return
    loss, expected = sum(model(batch).values()), dense_loss(model, nodes, batch)
    torch.testing.assert_close(loss, expected)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    torch.testing.assert_close(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("latent_sizes", [{}, {"text": 5}])
def test_what_is_looked_up_once_per_epoch_changes_nothing(latent_sizes: dict[str, int]) -> None:
    batch, model = toy_batch(toy_interactions()), build(variant="official", regulariser=0.3, latent_sizes=latent_sizes)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    for epoch in range(2):
        with torch.no_grad():  # such as by taking up a checkpoint
            model.preferences[0].mul_(torch.rand_like(model.preferences[0]))
        model.start_epoch(epoch, torch.Generator())
        loss = sum(model(batch).values())
        expected = dense_loss(model, dense_forward(model, toy_interactions(), toy_features(2)), batch)
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights))


@pytest.mark.usefixtures("float64")
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
    combination: str, layers: int, sum_users: float, sum_items: float, first: float, last: float, loss: float
) -> None:
    settings = {"variant": "official", "combination": combination, "layers": layers, "latent_sizes": {"visual": 5}}
    model = build(golden.TRAIN, golden.features(), embedding_size=4, regulariser=0.1, **settings)
    values = {
        "node_table": golden.filler(0, 9, 4),
        "preferences.0": golden.filler(1, 4, 5),
        "preferences.1": golden.filler(30, 4, 3),
    }
    for m, start in enumerate((1, 30)):
        names = [] if m else [(f"networks.{m}.projection", start + 1)]
        for depth in range(layers):
            layer, k = f"networks.{m}.layers.{depth}", start + 3 + 5 * depth
            names += [(f"{layer}.own", k + 1), (f"{layer}.join", k + 3)]
            values[f"{layer}.kernel"] = golden.filler(k, *model.get_parameter(f"{layer}.kernel").shape)
        for name, k in names:
            values[f"{name}.weight"] = golden.filler(k, *model.get_parameter(f"{name}.weight").shape)
            values[f"{name}.bias"] = golden.filler(k + 1, *model.get_parameter(f"{name}.bias").shape)
    model.load_state_dict(values)
    embeddings = model.embed()
    found = [embeddings.users.sum(), embeddings.items.sum(), embeddings.users[0, 0], embeddings.items[4, -1]]
    found.append(sum(model(golden.BATCH).values()))
    torch.testing.assert_close(
        torch.stack(found), torch.tensor([sum_users, sum_items, first, last, loss]), rtol=0, atol=1e-8
    )


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("variant", "times"), [("paper", 2), ("official", 1)])
def test_a_modality_listed_twice_with_equal_weights_counts_twice_in_the_paper_alone(variant: str, times: int) -> None:
    matrix = toy_features(1)["visual"]
    single, double = (build(features=dict.fromkeys(names, matrix), variant=variant) for names in ("a", "ab"))
    weights = single.state_dict()
    double.load_state_dict(
        weights | {re.sub(r"^(networks|preferences)\.0", r"\1.1", name): weights[name] for name in weights}
    )
    torch.testing.assert_close(double.embed().users, times * single.embed().users)
    torch.testing.assert_close(double.embed().items, times * single.embed().items)


def test_the_scale_of_a_raw_feature_row_does_not_matter() -> None:
    features = toy_features(2)
    scaled = {name: matrix * torch.linspace(0.1, 9, NUM_ITEMS)[:, None] for name, matrix in features.items()}
    torch.testing.assert_close(build(features=scaled).embed().items, build(features=features).embed().items)


def test_without_kernels_the_graph_does_not_matter() -> None:
    here, there = build(toy_interactions(0)), build(toy_interactions(1))
    for model in (here, there):
        for name, weight in model.named_parameters():
            if name.endswith("kernel"):
                weight.data.zero_()
    assert torch.equal(here.embed().scores(), there.embed().scores())


def test_a_node_without_interactions_receives_nothing_and_keeps_what_it_is() -> None:
    # Its output is that of a graph without any interaction.
    empty = Interactions.from_pairs([], [], NUM_USERS, NUM_ITEMS)
    connected, alone = build().embed(), build(empty).embed()
    torch.testing.assert_close(connected.users[ISOLATED_USER], alone.users[ISOLATED_USER])
    torch.testing.assert_close(connected.items[ISOLATED_ITEM], alone.items[ISOLATED_ITEM])
    assert not torch.allclose(connected.users[0], alone.users[0])


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_only_the_official_code_leaves_the_tables_as_they_were_drawn(variant: str) -> None:
    train = toy_interactions()
    model = build(train, variant=variant, learning_rate=0.1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        sum(model(toy_batch(train)).values()).backward()
        optimizer.step()
    tables = ("node_table", "preferences.0", "preferences.1")
    kept = [torch.equal(model.state_dict()[name], before[name]) for name in tables]
    assert kept == [variant == "official"] * 3
    assert not torch.equal(model.state_dict()["networks.0.layers.0.kernel"], before["networks.0.layers.0.kernel"])


def test_wide_modalities_are_projected_to_256_unless_told_otherwise() -> None:
    features = {"wide": torch.randn(NUM_ITEMS, 513), "narrow": torch.randn(NUM_ITEMS, 512)}
    assert [len(preference[0]) for preference in build(features=features).preferences] == [256, 512]
    told = build(features=features, latent_sizes={"wide": None, "narrow": 7})
    assert [len(preference[0]) for preference in told.preferences] == [513, 7]


def test_a_latent_size_for_a_modality_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"'vision'.*visual, text"):
        build(latent_sizes={"vision": 5})


@pytest.mark.parametrize(("variant", "layers"), [("paper", 2), ("official", 3)])
def test_the_number_of_layers_follows_the_variant(variant: str, layers: int) -> None:
    assert len(build(variant=variant).networks[0].layers) == layers
    assert len(build(variant=variant, layers=1).networks[0].layers) == 1
