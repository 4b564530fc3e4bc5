"""Plain dense definitions that fast code is compared with, and unusual graphs to compare them on."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from hypothesis import strategies
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from prismrec.types import Interactions

DTYPES = strategies.sampled_from([torch.float32, torch.float64])


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch use `count` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class LargestTensor(TorchDispatchMode):
    """A context in which `entries` is the size of the largest dense tensor that any operation has returned."""

    entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, Tensor) and x.layout == torch.strided:
                self.entries = max(self.entries, x.numel())
        return result


def assert_same(found: Tensor, expected: Tensor, *weights: Tensor) -> None:
    """Check that values are equal, and gradients of one random combination of them."""
    torch.testing.assert_close(found, expected)
    direction = random_rows(*expected.shape, seed=99).detach()
    settings = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
    assert_same_gradients((found * direction).sum(), (expected * direction).sum(), weights, **settings)


def assert_same_gradients(found: Tensor, expected: Tensor, weights: Iterable[Tensor], **settings: bool) -> None:
    """Check that two scalars have equal gradients, sparse or dense."""
    weights = list(weights)
    found_gradients = torch.autograd.grad(found, weights, **settings)
    expected_gradients = torch.autograd.grad(expected, weights, **settings)
    torch.testing.assert_close(
        [gradient.to_dense() for gradient in found_gradients],
        [gradient.to_dense() for gradient in expected_gradients],
    )


@strategies.composite
def odd_graphs(draw: strategies.DrawFn) -> Interactions:
    """Graphs of up to 6 users and 5 items: without edges, with empty rows and columns, complete."""
    users, items = draw(strategies.integers(1, 6)), draw(strategies.integers(1, 5))
    pairs = strategies.tuples(strategies.integers(0, users - 1), strategies.integers(0, items - 1))
    chosen = draw(strategies.lists(pairs, max_size=users * items))
    return Interactions.from_pairs([u for u, _ in chosen], [i for _, i in chosen], users, items)


def dense(train: Interactions) -> Tensor:
    """R `[U, I]`."""
    matrix = torch.zeros(train.num_users, train.num_items)
    for user, item in zip(train.users, train.items, strict=True):
        matrix[user, item] = 1
    return matrix


def adjacency(matrix: Tensor) -> Tensor:
    """A = [0 R; Rᵀ 0] `[U + I, U + I]` of R `[U, I]`."""
    users, items = matrix.shape
    square = torch.zeros(users + items, users + items)
    square[:users, users:], square[users:, :users] = matrix, matrix.T
    return square


def normalised(square: Tensor) -> Tensor:
    """D^-½ A D^-½, zero for a node without neighbours."""
    degrees = square.sum(1)
    scale = torch.tensor([degree**-0.5 if degree else 0.0 for degree in degrees.tolist()])
    return scale[:, None] * square * scale


def layer_mean(square: Tensor, nodes: Tensor, layers: int) -> Tensor:
    """1 / (L + 1) Σ_{l=0..L} A^l X for X `[U + I, d]`."""
    powers = [torch.linalg.matrix_power(square, layer) @ nodes for layer in range(layers + 1)]
    return torch.stack(powers).mean(0)


def in_batch_info_nce(anchors: Tensor, candidates: Tensor, temperature: float) -> Tensor:
    """The mean over b of -ln softmax(row b)[b]."""
    return -(anchors @ candidates.T / temperature).log_softmax(1).diagonal().mean()


def random_rows(*shape: int, seed: int = 0) -> Tensor:
    """Normal entries that require a gradient."""
    values = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return torch.as_tensor(values).to(torch.get_default_dtype()).requires_grad_()
