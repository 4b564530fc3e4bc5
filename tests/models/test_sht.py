import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from prismrec.models.lightgcn import LightGCN
from prismrec.models.sht import SHT
from prismrec.testing import RecommenderContract, toy_batch, toy_interactions
from prismrec.types import Triplets


class TestSHT(RecommenderContract):
    model = SHT
    config = {"hyperedges": 8}


class TestSHTLight(RecommenderContract):
    model = SHT
    config = {"hyperedges": 8, "variant": "light"}


def build(**settings) -> SHT:
    torch.manual_seed(0)
    return SHT(toy_interactions(), {}, SHT.Config(embedding_size=6, hyperedges=8, **settings))


def phi(x: Tensor) -> Tensor:
    return torch.maximum(0.5 * x, x)


def dense_topology(model: SHT) -> list[Tensor]:
    """Θ of users and items by powers of the square adjacency."""
    R = torch.from_numpy(toy_interactions().csr.toarray()).double()
    zeros = [torch.zeros(n, n, dtype=torch.float64) for n in R.shape]
    A = torch.cat([torch.cat([zeros[0], R], 1), torch.cat([R.T, zeros[1]], 1)])
    A = torch.where(A > 0, A / (A.sum(1, keepdim=True) * A.sum(0)).sqrt(), 0)
    layers = [torch.cat([model.user_table, model.item_table])]
    for _ in range(model.config.layers):
        layers.append(A @ layers[-1])
    return list(torch.stack(layers).sum(0).split(list(R.shape)))


def dense_transformer(model: SHT, side: int, theta: Tensor, P: Tensor) -> Tensor:
    """Z, head by head, with the attention of all nodes to all hyperedges formed."""
    heads = torch.arange(theta.shape[1]).chunk(model.config.heads)
    K, X, Z = theta @ model.key, theta, theta
    for layer in range(model.config.transformer_layers):
        V = X @ model.value
        messages = torch.cat([(P[:, a] @ K[:, a].T) @ V[:, a] for a in heads], 1)  # [H, n] attention
        for M in model.maps.weight[layer, side]:
            messages = phi(M @ messages) + messages
        V = messages @ model.value
        X = torch.cat([(K[:, a] @ P[:, a].T) @ V[:, a] for a in heads], 1)
        Z = Z + X
    return Z


def dense_solidity(model: SHT, theta: list[Tensor], users: Tensor, items: Tensor) -> Tensor:
    mapped = []
    for side, P, nodes in ((0, model.user_hyperedges, users), (1, model.item_hyperedges, items)):
        W = (P.mean(0) @ model.meta_weight + model.meta_weight_bias).reshape(6, 6)
        b = P.mean(0) @ model.meta_bias + model.meta_bias_bias
        mapped.append(phi(theta[side][nodes] @ model.key @ W + b))
    rho = phi(torch.cat(mapped, 1) @ model.mix + model.mix_bias) + mapped[0] + mapped[1]
    return (rho @ model.readout + model.readout_bias).squeeze(1).sigmoid()


def transformer_loss(model: SHT, batch: Triplets) -> Tensor:
    config, train, theta = model.config, toy_interactions(), dense_topology(model)
    tables = (model.user_hyperedges, model.item_hyperedges)
    Z = [dense_transformer(model, side, theta[side], P) for side, P in enumerate(tables)]
    x = (Z[0][batch.users] * (Z[1][batch.positives] - Z[1][batch.negatives])).sum(1)
    S = int(config.sample_rate * len(train))
    S += S % 2
    edges = torch.randint(len(train), (S,))
    users, items = (torch.from_numpy(ends).long()[edges] for ends in (train.users, train.items))
    scores, solidity = (theta[0][users] * theta[1][items]).sum(1), dense_solidity(model, theta, users, items)
    h = S // 2
    task = (1 - config.solidity_scale * (scores[:h] - scores[h:]) * (solidity[:h] - solidity[h:])).clamp(min=0).sum()
    unregularised = ("maps.weight", "meta_weight_bias", "meta_bias_bias", "mix_bias", "readout_bias")
    weights = [weight for name, weight in model.named_parameters() if name not in unregularised]
    squares = sum(weight.square().sum() for weight in weights)
    return (1 - x).clamp(min=0).mean() + config.regulariser * squares + config.supervision_weight * task


def light_loss(model: SHT, batch: Triplets) -> Tensor:
    config, train, theta = model.config, toy_interactions(), dense_topology(model)
    tables = (model.user_hyperedges, model.item_hyperedges)
    psi = [t.detach() @ P.T @ P for t, P in zip(theta, tables, strict=True)]
    S = int(config.sample_rate * 2 * len(train))
    S += S % 2
    users, items, h = torch.randint(train.num_users, (S,)), torch.randint(train.num_items, (S,)), S // 2
    loss, orders = config.regulariser * sum(weight.square().sum() for weight in model.parameters()), []
    for Z in (psi, theta):
        x = (Z[0][batch.users] * (Z[1][batch.positives] - Z[1][batch.negatives])).sum(1)
        loss = loss - x.sigmoid().log().mean()
        scores = (Z[0][users] * Z[1][items]).sum(1)
        orders.append(((scores[:h] - scores[h:]) / config.temperature).sigmoid())
    for p, q in (orders, orders[::-1]):
        target = q.detach()
        loss = loss - config.supervision_weight * (target * p.log() + (1 - target) * (1 - p).log()).mean()
    return loss


@pytest.mark.parametrize("settings", [{}, {"heads": 3, "transformer_layers": 3}, {"heads": 1}, {"variant": "light"}])
def test_loss_and_gradients_equal_the_equations_on_dense_matrices(float64, settings) -> None:
    model = build(**{"regulariser": 0.01, "supervision_weight": 0.1, "sample_rate": 0.3, **settings})
    with torch.no_grad():
        for weight in model.parameters():  # so that biases matter too
            weight.copy_(0.3 * torch.randn_like(weight))
    batch = toy_batch(toy_interactions())
    torch.manual_seed(1)
    loss = torch.stack(list(model(batch).values())).sum()
    torch.manual_seed(1)
    plain = (light_loss if model.config.variant == "light" else transformer_loss)(model, batch)
    torch.testing.assert_close(loss, plain)
    weights = list(model.parameters())
    for mine, reference in zip(torch.autograd.grad(loss, weights), torch.autograd.grad(plain, weights), strict=True):
        torch.testing.assert_close(mine, reference)


@pytest.mark.parametrize("heads", [1, 2])
def test_embeddings_equal_attention_over_all_hyperedges(float64, heads) -> None:
    model = build(heads=heads)
    theta, embeddings = dense_topology(model), model.embed()
    for side, mine, P in ((0, embeddings.users, model.user_hyperedges), (1, embeddings.items, model.item_hyperedges)):
        torch.testing.assert_close(mine, dense_transformer(model, side, theta[side], P))


def test_without_values_it_ranks_as_lightgcn(float64) -> None:
    model = build(layers=3)
    lightgcn = LightGCN(toy_interactions(), {}, LightGCN.Config(embedding_size=6, layers=3))
    with torch.no_grad():
        model.value.zero_()
        lightgcn.user_table.copy_(model.user_table)
        lightgcn.item_table.copy_(model.item_table)
    torch.testing.assert_close(model.embed().users, 4 * lightgcn.embed().users)
    torch.testing.assert_close(model.embed().items, 4 * lightgcn.embed().items)


def test_with_equal_solidity_everywhere_each_pair_of_edges_costs_its_margin(float64) -> None:
    model = build(supervision_weight=1, sample_rate=0.5)
    with torch.no_grad():
        model.readout.zero_()
    edges = int(0.5 * len(toy_interactions()))
    assert model(toy_batch(toy_interactions()))["solidity"].item() == (edges + 1) // 2


def test_light_with_orthonormal_hyperedges_has_two_equal_encoders(float64) -> None:
    model = build(variant="light")
    with torch.no_grad():
        for table in (model.user_hyperedges, model.item_hyperedges):
            table.copy_(torch.linalg.qr(torch.randn_like(table)).Q)
    terms = model(toy_batch(toy_interactions()))
    torch.testing.assert_close(terms["topology"], terms["bpr"])


def test_light_trains_each_encoder_by_its_own_losses_only(float64) -> None:
    model = build(variant="light")
    terms = model(toy_batch(toy_interactions()))
    hyperedges, tables = [model.user_hyperedges, model.item_hyperedges], [model.user_table, model.item_table]
    for term, others in (("bpr", tables), ("topology", hyperedges)):
        gradients = torch.autograd.grad(terms[term], others, retain_graph=True, allow_unused=True)
        assert gradients == (None, None)


def test_light_reads_hyperedges_up_to_rotation(float64) -> None:
    model = build(variant="light")
    before = model.embed().scores()
    with torch.no_grad():
        for table in (model.user_hyperedges, model.item_hyperedges):
            table.copy_(torch.linalg.qr(torch.randn(8, 8)).Q @ table)
    torch.testing.assert_close(model.embed().scores(), before)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValidationError, match="not a multiple of heads 4"):
        SHT.Config(embedding_size=6, heads=4)


def test_variant_light_brings_its_defaults_and_yields_to_explicit_values() -> None:
    assert SHT.Config(variant="light").supervision_weight == 1.0
    assert SHT.Config(variant="light", supervision_weight=0.3).supervision_weight == 0.3
