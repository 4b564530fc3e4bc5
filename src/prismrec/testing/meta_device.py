"""Running a training step on PyTorch's "meta" device, whose tensors have shapes and no values."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prismrec.models import Recommender
from prismrec.nn.item_graphs import OncePerEpoch
from prismrec.ops import SparseMatrix
from prismrec.ops.sparse import _SampledProduct
from prismrec.types import Triplets


def replace_sparse_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace sparse products, which the "meta" device lacks, by tensors of the right shape."""
    monkeypatch.setattr(SparseMatrix, "_product", _product)
    monkeypatch.setattr(SparseMatrix, "add_product", _add_product)
    monkeypatch.setattr(_SampledProduct, "forward", _sampled_product)


def _product(matrix: SparseMatrix, values: Tensor, t_values: Tensor, x: Tensor, transposed: bool) -> Tensor:
    return x.new_empty(matrix.shape[1 if transposed else 0], x.shape[1])


def _add_product(matrix: SparseMatrix, base: Tensor, x: Tensor, **options: object) -> Tensor:
    return torch.empty_like(base)


def _sampled_product(ctx: Any, left: Tensor, right: Tensor, matrix: SparseMatrix) -> Tensor:
    ctx.save_for_backward(left, right)
    ctx.matrix = matrix
    return left.new_empty(len(matrix.indices))


def move_to_meta(model: Recommender, batch: Triplets) -> None:
    """Move a model to the "meta" device. A model with item graphs first computes the first step of an epoch.

    That step may make the host wait, because it is not recorded.
    """
    graphs = getattr(model, "graphs", None)
    if isinstance(graphs, OncePerEpoch):
        model(batch)
        for graph in graphs.constants:  # they are not submodules
            graph.to("meta")
    model.to("meta")


@contextmanager
def host_draws_nothing() -> Iterator[None]:
    """Fail if a random generator of the host is used inside the block."""
    torch_state = torch.get_rng_state()
    python_state = random.getstate()
    numpy_state = str(np.random.get_state())
    yield
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state
    assert str(np.random.get_state()) == numpy_state
