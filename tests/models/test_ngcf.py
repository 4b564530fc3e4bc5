import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.models.mf_bpr import MFBPR
from prismrec.models.ngcf import NGCF
from prismrec.testing import ISOLATED_ITEM, NUM_ITEMS, NUM_USERS, RecommenderContract, toy_batch, toy_interactions
from prismrec.types import Triplets


class TestNGCF(RecommenderContract):
    model = NGCF


class TestNGCFReadme(RecommenderContract):
    model = NGCF
    config = {"variant": "readme", "slope": 0.01}


class TestNGCFSym(RecommenderContract):
    model = NGCF
    config = {"variant": "sym"}


class TestNGCFRecBole(RecommenderContract):
    model = NGCF
    config = {"variant": "recbole"}


VARIANTS = ["official", "readme", "sym", "recbole"]


def build(**settings: object) -> NGCF:
    torch.manual_seed(0)
    return NGCF(toy_interactions(), {}, NGCF.Config(**{"embedding_size": 4, "dropout": 0.0, **settings}))


def final(model: NGCF) -> Tensor:
    """Z `[U + I, (L + 1) d]`."""
    embeddings = model.embed()
    return torch.cat([embeddings.users, embeddings.items])


def dense(model: NGCF) -> Tensor:
    """Z from a dense square graph, in the order of the equations."""
    R = torch.from_numpy(toy_interactions().csr.toarray()).double()
    U, N = NUM_USERS, NUM_USERS + NUM_ITEMS
    A = torch.zeros(N, N)
    A[:U, U:], A[U:, :U] = R, R.T
    variant, slope = model.config.variant, model.config.slope
    recbole = variant == "recbole"
    if variant == "official":
        A = A + torch.eye(N)
        graph = A / A.sum(1, keepdim=True)
    elif variant == "readme":
        graph = A / A.sum(1, keepdim=True).clamp(min=1) + torch.eye(N)
    else:
        graph = A / (A.sum(1, keepdim=True) * A.sum(0, keepdim=True)).sqrt().clamp(min=1)
    H = torch.cat([model.user_table, model.item_table])
    blocks = [H]
    for layer in model.layers:
        S = graph @ H
        first = layer.of_sum(S + H if variant in ("sym", "recbole") else S)
        second = layer.of_product(S * H)
        H = F.leaky_relu(first + second, slope) if recbole else F.leaky_relu(first, slope) + F.leaky_relu(second, slope)
        normalised = H / H.norm(dim=1, keepdim=True)
        blocks.append(normalised)
        H = normalised if recbole else H
    return torch.cat(blocks, 1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("slope", [0.2, 0.01])
def test_embeddings_loss_and_gradients_equal_the_dense_reading(variant: str, slope: float, float64: None) -> None:
    model, batch = build(variant=variant, slope=slope, regulariser=0.3), toy_batch(toy_interactions())
    Z = dense(model)
    torch.testing.assert_close(final(model), Z)
    users, positives, negatives = Z[batch.users], Z[NUM_USERS + batch.positives], Z[NUM_USERS + batch.negatives]
    plain = -((users * (positives - negatives)).sum(1)).sigmoid().log().mean()
    power = 1 if variant == "recbole" else 2
    norms = torch.stack([rows.norm() ** power for rows in (users, positives, negatives)])
    plain = plain + 0.3 / len(batch) / power * norms.sum()
    loss = torch.stack(list(model(batch).values())).sum()
    torch.testing.assert_close(loss, plain)
    parameters = list(model.parameters())
    torch.testing.assert_close(torch.autograd.grad(loss, parameters), torch.autograd.grad(plain, parameters))


@pytest.mark.parametrize("variant", ["official", "readme", "sym"])
def test_without_layers_it_is_matrix_factorisation(variant: str) -> None:
    train = toy_interactions()
    model = build(layers=0, variant=variant, regulariser=0.3)
    plain = MFBPR(train, {}, MFBPR.Config(embedding_size=4, regulariser=0.3))
    plain.load_state_dict(model.state_dict())
    batch = toy_batch(train)
    assert {k: v.item() for k, v in model(batch).items()} == {k: v.item() for k, v in plain(batch).items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_with_zero_maps_only_the_tables_are_not_zero(variant: str) -> None:
    model = build(variant=variant)
    for parameter in model.layers.parameters():
        torch.nn.init.zeros_(parameter)
    first, *others = final(model).split(4, dim=1)
    assert torch.equal(first, torch.cat([model.user_table, model.item_table]))
    assert len(others) == 3
    assert not any(block.any() for block in others)


@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_of_every_block_have_norm_one(variant: str) -> None:
    first, *others = final(build(variant=variant)).split(4, dim=1)
    for block in others:
        torch.testing.assert_close(block.norm(dim=1), torch.ones(len(block)))
    assert (first.norm(dim=1) != 1).all()


def test_identity_maps_of_nonnegative_rows_give_powers_of_the_graph(float64: None) -> None:
    model = build()
    with torch.no_grad():
        for table in (model.user_table, model.item_table):
            table.abs_()
        for layer in model.layers:
            torch.nn.init.eye_(layer.of_sum.weight)
            for parameter in (layer.of_sum.bias, *layer.of_product.parameters()):
                torch.nn.init.zeros_(parameter)
    nodes = model.user_table, model.item_table
    for block in final(model).split(4, dim=1)[1:]:
        nodes = model.graph(*nodes)
        torch.testing.assert_close(block, F.normalize(torch.cat(nodes), dim=1))


def test_an_item_without_interactions_changes_no_other_node() -> None:
    model = build()
    before = final(model)
    with torch.no_grad():
        model.item_table[ISOLATED_ITEM] *= 2
    changed = (final(model) != before).any(1).nonzero().squeeze(1)
    assert changed.tolist() == [NUM_USERS + ISOLATED_ITEM]


def test_dropout_differs_between_steps_but_not_between_repetitions_of_a_node() -> None:
    model, batch = build(dropout=0.5), toy_batch(toy_interactions(), 1)
    assert model(batch)["bpr"].item() != model(batch)["bpr"].item()
    repeated = Triplets(batch.users.repeat(5), batch.positives.repeat(5), batch.negatives.repeat(5))
    torch.manual_seed(1)
    loss = model(batch)["bpr"].item()
    torch.manual_seed(1)
    assert model(repeated)["bpr"].item() == pytest.approx(loss, rel=1e-6)


def test_biases_start_at_random_in_the_official_code_and_at_zero_in_recbole() -> None:
    assert all(layer.of_sum.bias.all() and layer.of_product.bias.all() for layer in build().layers)
    assert not any(layer.of_sum.bias.any() for layer in build(variant="recbole").layers)
