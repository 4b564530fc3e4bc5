import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prismrec.graph import BipartiteGraph
from prismrec.nn import Features
from prismrec.nn.channels import ChannelEncoder, layer_mean_of_items, xavier_linear
from prismrec.testing import ISOLATED_ITEM, NUM_ITEMS, NUM_USERS, toy_features, toy_interactions
from prismrec.types import Interactions

import plain


@given(train=plain.odd_graphs(), layers=st.integers(0, 4), side=st.integers(0, 1))
@settings(max_examples=40, deadline=None)
def test_one_side_is_the_layer_mean_with_zeros_on_the_other_in_value_and_gradient(
    train: Interactions, layers: int, side: int
) -> None:
    sizes = train.num_users, train.num_items
    rows, zeros = plain.random_rows(sizes[side], 3), torch.zeros(sizes[1 - side], 3)
    users, items = layer_mean_of_items(BipartiteGraph(train), rows, layers, side=side)
    stacked = torch.cat([zeros, rows] if side else [rows, zeros])
    expected = plain.layer_mean(plain.normalised(plain.adjacency(plain.dense(train))), stacked, layers)
    torch.testing.assert_close(torch.cat([users, items]), expected)
    direction = plain.random_rows(sum(sizes), 3, seed=1).detach()
    found = torch.autograd.grad((torch.cat([users, items]) * direction).sum(), rows)
    torch.testing.assert_close(found, torch.autograd.grad((expected * direction).sum(), rows))


def test_one_side_leaves_its_argument_as_it_was() -> None:
    rows = plain.random_rows(NUM_USERS, 3)
    before = rows.detach().clone()
    layer_mean_of_items(BipartiteGraph(toy_interactions()), rows, 3, side=0)
    assert torch.equal(rows, before)


def test_one_side_refuses_a_graph_that_is_not_its_own_transpose() -> None:
    with pytest.raises(ValueError, match="symmetric"):
        layer_mean_of_items(BipartiteGraph(toy_interactions(), "rw"), torch.ones(NUM_USERS, 2), 2, side=0)


def build(modalities: int = 2, layers: int = 3, width: int = 6) -> ChannelEncoder:
    torch.manual_seed(0)
    matrices = {name: x.to(torch.get_default_dtype()) for name, x in toy_features(modalities).items()}
    return ChannelEncoder(toy_interactions(), Features(matrices), width, layers)


def channels(encoder: ChannelEncoder, square: Tensor, modalities: int) -> list[Tensor]:
    """H_k `[U + I, d]`, k = 0..M, channel by channel."""
    inputs = [encoder.item_table]
    for x, layer in zip(toy_features(modalities).values(), encoder.projections, strict=True):
        unit = x.to(square) / x.to(square).norm(dim=1, keepdim=True)
        inputs.append(unit @ layer.weight.T + layer.bias)
    return [plain.layer_mean(square, torch.cat([encoder.user_table, C]), encoder.layers) for C in inputs]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_channels_and_both_readouts_are_those_of_separate_dense_propagations(modalities: int, layers: int) -> None:
    encoder = build(modalities, layers)
    square = plain.normalised(plain.adjacency(plain.dense(toy_interactions())))
    apart = channels(encoder, square, modalities)
    propagated = encoder.propagate(encoder.inputs())
    users, items = torch.tensor([3, 0, 3]), torch.tensor([ISOLATED_ITEM, 2, 2, 0])
    blocks = propagated.users(users), propagated.items(items)
    torch.testing.assert_close(blocks[0], torch.stack([H[users] for H in apart], 1))
    torch.testing.assert_close(blocks[1], torch.stack([H[NUM_USERS + items] for H in apart], 1))

    fused_users = encoder.user_readout(torch.cat([H[:NUM_USERS] for H in apart], 1))
    fused_items = encoder.item_readout(torch.cat([H[NUM_USERS:] for H in apart], 1))
    torch.testing.assert_close(encoder.fuse_users(blocks[0]), fused_users[users])
    torch.testing.assert_close(encoder.fuse_items(blocks[1]), fused_items[items])
    embeddings = encoder.embed()  # by the folded readouts
    torch.testing.assert_close(embeddings.users, fused_users)
    torch.testing.assert_close(embeddings.items, fused_items)

    weights = list(encoder.parameters())
    expected = torch.autograd.grad(fused_users[users].square().sum() + fused_items[items].square().sum(), weights)
    gathered = encoder.fuse_users(blocks[0]).square().sum() + encoder.fuse_items(blocks[1]).square().sum()
    torch.testing.assert_close(torch.autograd.grad(gathered, weights), expected)
    folded = embeddings.users[users].square().sum() + embeddings.items[items].square().sum()
    torch.testing.assert_close(torch.autograd.grad(folded, weights), expected)


def test_another_graph_takes_the_place_of_the_own_one() -> None:
    encoder, train = build(), toy_interactions()
    kept = torch.arange(len(train)) % 3 > 0
    rest = Interactions.from_pairs(train.users[kept.numpy()], train.items[kept.numpy()], NUM_USERS, NUM_ITEMS)
    found = encoder.propagate(encoder.inputs(), encoder.graph.subgraph(kept)).items(torch.arange(NUM_ITEMS))
    apart = channels(encoder, plain.normalised(plain.adjacency(plain.dense(rest))), 2)
    torch.testing.assert_close(found, torch.stack([H[NUM_USERS:] for H in apart], 1))


def test_an_isolated_item_keeps_its_input_divided_by_the_number_of_layers_summed() -> None:
    encoder = build(layers=3)
    inputs = encoder.inputs()
    alone = encoder.propagate(inputs).items(torch.tensor([ISOLATED_ITEM]))[0]
    torch.testing.assert_close(alone, inputs[ISOLATED_ITEM] / 4)


def test_the_length_of_a_feature_row_does_not_matter() -> None:
    torch.manual_seed(0)
    scaled = {name: x * torch.linspace(0.1, 9, NUM_ITEMS)[:, None] for name, x in toy_features(2).items()}
    torch.testing.assert_close(ChannelEncoder(toy_interactions(), Features(scaled), 6, 3).inputs(), build().inputs())


def test_xavier_linear_stays_within_its_bounds_and_reaches_them() -> None:
    torch.manual_seed(0)
    layer = xavier_linear(40, 60)
    bound = (6 / 100) ** 0.5
    assert 0.95 * bound < layer.weight.abs().max() <= bound
    assert 0.8 * 40**-0.5 < layer.bias.abs().max() <= 40**-0.5
