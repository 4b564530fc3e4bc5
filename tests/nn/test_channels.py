import pytest
import torch
from torch import Tensor

from prismrec.nn import Features
from prismrec.nn.channels import ChannelEncoder, xavier_linear
from prismrec.testing import ISOLATED_ITEM, NUM_ITEMS, NUM_USERS, toy_features, toy_interactions
from prismrec.types import Interactions

import plain


def build(modalities: int = 2, layers: int = 3, width: int = 6) -> ChannelEncoder:
    torch.manual_seed(0)
    matrices = {name: x.to(torch.get_default_dtype()) for name, x in toy_features(modalities).items()}
    return ChannelEncoder(toy_interactions(), Features(matrices), width, layers)


def dense_channels(encoder: ChannelEncoder, square: Tensor, modalities: int) -> list[Tensor]:
    """H_k `[U + I, d]` for k = 0..M, each channel propagated by itself."""
    inputs = [encoder.item_table]
    for x, layer in zip(toy_features(modalities).values(), encoder.projections, strict=True):
        unit = x.to(square) / x.to(square).norm(dim=1, keepdim=True)
        inputs.append(unit @ layer.weight.T + layer.bias)
    return [plain.layer_mean(square, torch.cat([encoder.user_table, C]), encoder.layers) for C in inputs]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_channels_and_readouts_equal_separate_dense_propagations(modalities: int, layers: int) -> None:
    encoder = build(modalities, layers)
    square = plain.normalised(plain.adjacency(plain.dense(toy_interactions())))
    separate = dense_channels(encoder, square, modalities)
    propagated = encoder.propagate(encoder.inputs())
    users, items = torch.tensor([3, 0, 3]), torch.tensor([ISOLATED_ITEM, 2, 2, 0])
    of_users, of_items = propagated.users(users), propagated.items(items)
    torch.testing.assert_close(of_users, torch.stack([H[users] for H in separate], 1))
    torch.testing.assert_close(of_items, torch.stack([H[NUM_USERS + items] for H in separate], 1))

    fused_users = encoder.user_readout(torch.cat([H[:NUM_USERS] for H in separate], 1))
    fused_items = encoder.item_readout(torch.cat([H[NUM_USERS:] for H in separate], 1))
    torch.testing.assert_close(encoder.fuse_users(of_users), fused_users[users])
    torch.testing.assert_close(encoder.fuse_items(of_items), fused_items[items])
    embeddings = encoder.embed()  # by the folded readouts
    torch.testing.assert_close(embeddings.users, fused_users)
    torch.testing.assert_close(embeddings.items, fused_items)

    weights = list(encoder.parameters())
    expected = torch.autograd.grad(fused_users[users].square().sum() + fused_items[items].square().sum(), weights)
    gathered = encoder.fuse_users(of_users).square().sum() + encoder.fuse_items(of_items).square().sum()
    torch.testing.assert_close(torch.autograd.grad(gathered, weights), expected)
    folded = embeddings.users[users].square().sum() + embeddings.items[items].square().sum()
    torch.testing.assert_close(torch.autograd.grad(folded, weights), expected)


def test_another_graph_can_be_propagated() -> None:
    encoder, train = build(), toy_interactions()
    kept = torch.arange(len(train)) % 3 > 0
    rest = Interactions.from_pairs(train.users[kept.numpy()], train.items[kept.numpy()], NUM_USERS, NUM_ITEMS)
    found = encoder.propagate(encoder.inputs(), encoder.graph.subgraph(kept)).items(torch.arange(NUM_ITEMS))
    separate = dense_channels(encoder, plain.normalised(plain.adjacency(plain.dense(rest))), 2)
    torch.testing.assert_close(found, torch.stack([H[NUM_USERS:] for H in separate], 1))


def test_an_isolated_item_keeps_its_input_divided_by_the_number_of_layers() -> None:
    encoder = build(layers=3)
    inputs = encoder.inputs()
    alone = encoder.propagate(inputs).items(torch.tensor([ISOLATED_ITEM]))[0]
    torch.testing.assert_close(alone, inputs[ISOLATED_ITEM] / 4)


def test_inputs_do_not_depend_on_the_length_of_feature_rows() -> None:
    torch.manual_seed(0)
    scaled = {name: x * torch.linspace(0.1, 9, NUM_ITEMS)[:, None] for name, x in toy_features(2).items()}
    torch.testing.assert_close(ChannelEncoder(toy_interactions(), Features(scaled), 6, 3).inputs(), build().inputs())


def test_xavier_linear_is_uniform_within_its_bounds() -> None:
    torch.manual_seed(0)
    layer = xavier_linear(40, 60)
    bound = (6 / 100) ** 0.5
    assert 0.95 * bound < layer.weight.abs().max() <= bound
    assert 0.8 * 40**-0.5 < layer.bias.abs().max() <= 40**-0.5
