"""A small data set for which values were computed outside this library."""

import torch
from torch import Tensor, nn

from prismrec.types import Interactions, Triplets

TRAIN = Interactions.from_pairs([0, 0, 1, 1, 2, 2, 2, 3], [0, 1, 1, 2, 0, 3, 1, 3], 4, 5)
"""Item 4 has no interaction."""
BATCH = Triplets(torch.tensor([0, 1, 2, 3]), torch.tensor([1, 2, 3, 3]), torch.tensor([4, 0, 2, 1]))


def filler(k: int, *shape: int) -> Tensor:
    """0.4 sin(1 + 0.9 k + 0.37 n), where n counts the entries row by row."""
    numbers = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return 0.4 * torch.sin(1 + 0.9 * k + 0.37 * numbers).reshape(shape)


def features() -> dict[str, Tensor]:
    return {"visual": filler(100, 5, 6), "text": filler(101, 5, 3)}


@torch.no_grad()
def fill_linear(layer: nn.Module, k: int) -> None:
    """Fill the weight with `filler(k)` and the bias with `filler(k + 1)`."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    weight.copy_(filler(k, *weight.shape))
    bias.copy_(filler(k + 1, *bias.shape))


@torch.no_grad()
def fill_channels(encoder: nn.Module) -> None:
    """Fill the weights that MMGCL and SLMRec share."""
    encoder.get_parameter("user_table").copy_(filler(0, 4, 4))
    encoder.get_parameter("item_table").copy_(filler(1, 5, 4))
    for k, name in ((2, "projections.0"), (4, "projections.1"), (6, "user_readout"), (8, "item_readout")):
        fill_linear(encoder.get_submodule(name), k)
