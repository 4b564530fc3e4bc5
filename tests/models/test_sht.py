"""SHT and SHT-light against a dense reading of their equations, and the checks of their specification."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from prismrec.errors import InputError, ParameterError
from prismrec.models.lightgcn import LightGCN
from prismrec.models.sht import SHT, SHTLight
from prismrec.testing import NUM_USERS, RecommenderContract, toy_batch, toy_interactions
from prismrec.types import Triplets

import plain


class TestSHT(RecommenderContract):
    model = SHT
    config = {"hyperedges": 8}


class TestSHTLight(RecommenderContract):
    model = SHTLight
    config = {"hyperedges": 8}


def build(**settings: object) -> SHT:
    torch.manual_seed(0)
    return SHT(toy_interactions(), {}, SHT.Config(**{"embedding_size": 6, "hyperedges": 8, **settings}))


def build_light(**settings: object) -> SHTLight:
    torch.manual_seed(0)
    return SHTLight(toy_interactions(), {}, SHTLight.Config(**{"embedding_size": 6, "hyperedges": 8, **settings}))


def phi(x: Tensor) -> Tensor:
    return torch.maximum(0.5 * x, x)


def dense_topology(model: SHT | SHTLight) -> tuple[Tensor, Tensor]:
    """Θ of users and of items by powers of the square adjacency."""
    square = plain.normalised(plain.adjacency(plain.dense(toy_interactions())))
    nodes = torch.cat([model.user_table, model.item_table])
    layers = model.config.layers
    theta = (layers + 1) * plain.layer_mean(square, nodes, layers)
    return theta[:NUM_USERS], theta[NUM_USERS:]


def dense_transformer(model: SHT, side: int, theta: Tensor, P: Tensor) -> Tensor:
    """Z of one side, head by head, with the attention of all nodes to all hyperedges formed."""
    heads = torch.arange(theta.shape[1]).chunk(model.config.heads)
    K, X, Z = theta @ model.key, theta, theta
    for layer in range(model.config.transformer_layers):
        V = X @ model.value
        messages = torch.cat([(P[:, a] @ K[:, a].T) @ V[:, a] for a in heads], 1)  # attention is [H, n]
        for M in model.maps.weight[layer, side]:
            messages = phi(M @ messages) + messages
        V = messages @ model.value
        X = torch.cat([(K[:, a] @ P[:, a].T) @ V[:, a] for a in heads], 1)  # attention is [n, H]
        Z = Z + X
    return Z


def dense_meta(model: SHT, theta: Tensor, P: Tensor) -> Tensor:
    """μ of all nodes of one side."""
    W = (P.mean(0) @ model.meta_weight + model.meta_weight_bias).reshape(6, 6)
    b = P.mean(0) @ model.meta_bias + model.meta_bias_bias
    return phi(theta @ model.key @ W + b)


def dense_solidity(model: SHT, theta_users: Tensor, theta_items: Tensor, users: Tensor, items: Tensor) -> Tensor:
    meta_users = dense_meta(model, theta_users, model.user_hyperedges)[users]
    meta_items = dense_meta(model, theta_items, model.item_hyperedges)[items]
    mixed = phi(torch.cat([meta_users, meta_items], 1) @ model.mix + model.mix_bias)
    rho = mixed + meta_users + meta_items
    return (rho @ model.readout + model.readout_bias).squeeze(1).sigmoid()


def transformer_loss(model: SHT, batch: Triplets) -> Tensor:
    """The whole loss of SHT; interactions are drawn as the model draws them."""
    config, train = model.config, toy_interactions()
    theta_users, theta_items = dense_topology(model)
    users = dense_transformer(model, 0, theta_users, model.user_hyperedges)
    items = dense_transformer(model, 1, theta_items, model.item_hyperedges)
    margins = (users[batch.users] * (items[batch.positives] - items[batch.negatives])).sum(1)
    samples = int(config.sample_rate * len(train))
    samples += samples % 2
    drawn = torch.randint(len(train), (samples,))
    drawn_users = torch.from_numpy(train.users).long()[drawn]
    drawn_items = torch.from_numpy(train.items).long()[drawn]
    scores = (theta_users[drawn_users] * theta_items[drawn_items]).sum(1)
    solidity = dense_solidity(model, theta_users, theta_items, drawn_users, drawn_items)
    h = samples // 2
    agreement = config.solidity_scale * (scores[:h] - scores[h:]) * (solidity[:h] - solidity[h:])
    unregularised = ("maps.weight", "meta_weight_bias", "meta_bias_bias", "mix_bias", "readout_bias")
    weights = [weight for name, weight in model.named_parameters() if name not in unregularised]
    loss = (1 - margins).clamp(min=0).mean() + config.regulariser * sum(weight.square().sum() for weight in weights)
    return loss + config.supervision_weight * (1 - agreement).clamp(min=0).sum()


def ranked(users: Tensor, items: Tensor, batch: Triplets) -> Tensor:
    margins = (users[batch.users] * (items[batch.positives] - items[batch.negatives])).sum(1)
    return -margins.sigmoid().log().mean()


def order_of_pairs(model: SHTLight, scores: Tensor) -> Tensor:
    """The probability that the first of two pairs scores higher."""
    h = len(scores) // 2
    return ((scores[:h] - scores[h:]) / model.config.temperature).sigmoid()


def cross_entropy(target: Tensor, found: Tensor) -> Tensor:
    target = target.detach()
    return -(target * found.log() + (1 - target) * (1 - found).log()).mean()


def light_loss(model: SHTLight, batch: Triplets) -> Tensor:
    """The whole loss of SHT-light; pairs are drawn as the model draws them."""
    config, train = model.config, toy_interactions()
    theta_users, theta_items = dense_topology(model)
    psi_users = theta_users.detach() @ model.user_hyperedges.T @ model.user_hyperedges
    psi_items = theta_items.detach() @ model.item_hyperedges.T @ model.item_hyperedges
    samples = int(config.sample_rate * 2 * len(train))
    samples += samples % 2
    users = torch.randint(train.num_users, (samples,))
    items = torch.randint(train.num_items, (samples,))
    by_topology = order_of_pairs(model, (theta_users[users] * theta_items[items]).sum(1))
    by_hyperedges = order_of_pairs(model, (psi_users[users] * psi_items[items]).sum(1))
    loss = ranked(theta_users, theta_items, batch) + ranked(psi_users, psi_items, batch)
    loss = loss + config.regulariser * sum(weight.square().sum() for weight in model.parameters())
    loss = loss + config.supervision_weight * cross_entropy(by_topology, by_hyperedges)
    return loss + config.topology_supervision_weight * cross_entropy(by_hyperedges, by_topology)


def assert_same_with_gradients(model: SHT | SHTLight, expected_loss: Callable[..., Tensor]) -> None:
    """The loss of a batch and its gradients, at random weights so that biases matter too."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.3 * torch.randn_like(weight))
    batch = toy_batch(toy_interactions())
    torch.manual_seed(1)
    loss = torch.stack(list(model(batch).values())).sum()
    torch.manual_seed(1)
    expected = expected_loss(model, batch)
    torch.testing.assert_close(loss, expected)
    weights = list(model.parameters())
    torch.testing.assert_close(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights))


@pytest.mark.parametrize("settings", [{}, {"heads": 3, "transformer_layers": 3}, {"heads": 1}])
def test_loss_and_gradients_equal_the_dense_reading(float64: None, settings: dict[str, int]) -> None:
    model = build(regulariser=0.01, supervision_weight=0.1, sample_rate=0.3, **settings)
    assert_same_with_gradients(model, transformer_loss)


@pytest.mark.parametrize("topology_supervision_weight", [0.1, 0.7])
def test_loss_and_gradients_of_light_equal_the_dense_reading(float64: None, topology_supervision_weight: float) -> None:
    weights = {"supervision_weight": 0.1, "topology_supervision_weight": topology_supervision_weight}
    model = build_light(regulariser=0.01, sample_rate=0.3, **weights)
    assert_same_with_gradients(model, light_loss)


@pytest.mark.parametrize("heads", [1, 2])
def test_embeddings_equal_attention_over_all_hyperedges(float64: None, heads: int) -> None:
    model = build(heads=heads)
    theta_users, theta_items = dense_topology(model)
    embeddings = model.embed()
    torch.testing.assert_close(embeddings.users, dense_transformer(model, 0, theta_users, model.user_hyperedges))
    torch.testing.assert_close(embeddings.items, dense_transformer(model, 1, theta_items, model.item_hyperedges))


def test_without_values_it_ranks_as_lightgcn(float64: None) -> None:
    model = build(layers=3)
    lightgcn = LightGCN(toy_interactions(), {}, LightGCN.Config(embedding_size=6, layers=3))
    with torch.no_grad():
        model.value.zero_()
        lightgcn.user_table.copy_(model.user_table)
        lightgcn.item_table.copy_(model.item_table)
    torch.testing.assert_close(model.embed().users, 4 * lightgcn.embed().users)
    torch.testing.assert_close(model.embed().items, 4 * lightgcn.embed().items)


def test_with_equal_solidity_everywhere_each_pair_of_interactions_costs_its_margin(float64: None) -> None:
    model = build(supervision_weight=1, sample_rate=0.5)
    with torch.no_grad():
        model.readout.zero_()
    drawn = int(0.5 * len(toy_interactions()))
    assert model(toy_batch(toy_interactions()))["solidity"].item() == (drawn + 1) // 2


def test_light_with_orthonormal_hyperedges_has_two_equal_encoders(float64: None) -> None:
    model = build_light()
    with torch.no_grad():
        for table in (model.user_hyperedges, model.item_hyperedges):
            table.copy_(torch.linalg.qr(torch.randn_like(table)).Q)
    terms = model(toy_batch(toy_interactions()))
    torch.testing.assert_close(terms["topology"], terms["bpr"])


def test_light_trains_each_encoder_by_its_own_losses_only(float64: None) -> None:
    model = build_light()
    terms = model(toy_batch(toy_interactions()))
    hyperedges, tables = [model.user_hyperedges, model.item_hyperedges], [model.user_table, model.item_table]
    for term, others in (("bpr", tables), ("topology", hyperedges)):
        gradients = torch.autograd.grad(terms[term], others, retain_graph=True, allow_unused=True)
        assert gradients == (None, None)


@pytest.mark.parametrize(
    ("silent", "untrained"),
    [
        ("supervision_weight", ["user_hyperedges", "item_hyperedges"]),
        ("topology_supervision_weight", ["user_table", "item_table"]),
    ],
)
def test_each_supervision_weight_of_light_trains_one_encoder(silent: str, untrained: list[str]) -> None:
    model = build_light(**{silent: 0.0})
    model(toy_batch(toy_interactions()))["alignment"].backward()
    trained = {name for name, weight in model.named_parameters() if weight.grad.any()}
    assert trained == {name for name, _ in model.named_parameters()} - set(untrained)


def test_light_reads_hyperedges_up_to_rotation(float64: None) -> None:
    model = build_light()
    before = model.embed().scores()
    with torch.no_grad():
        for table in (model.user_hyperedges, model.item_hyperedges):
            table.copy_(torch.linalg.qr(torch.randn(8, 8)).Q @ table)
    torch.testing.assert_close(model.embed().scores(), before)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(InputError, match="embedding_size 6 is not a multiple of heads 4"):
        SHT.Config(embedding_size=6, heads=4)


def test_each_model_has_the_defaults_of_its_program_and_only_its_own_hyperparameters() -> None:
    config = SHTLight.Config()
    assert (config.supervision_weight, config.topology_supervision_weight, config.lr_decay) == (1.0, 1.0, 1.0)
    assert (SHT.Config().supervision_weight, SHT.Config().lr_decay) == (1e-5, 0.96)
    for name, value in (("heads", 2), ("slope", 0.5), ("solidity_scale", 10.0), ("transformer_layers", 2)):
        with pytest.raises(ParameterError, match=name):
            SHTLight.Config(**{name: value})
    with pytest.raises(ParameterError, match="temperature"):
        SHT.Config(temperature=0.2)
