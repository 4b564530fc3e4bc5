"""On a CPU, training adds up numbers in a fixed order, so that the same seed gives the same bits."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from prismrec.models import REGISTRY
from prismrec.testing.toys import toy_batch, toy_features, toy_interactions

UNORDERED = (torch.ops.aten.index_put, torch.ops.aten.index_put_, torch.ops.aten._index_put_impl_)
"""The gradient of `x[rows]`. With `accumulate`, PyTorch's CPU threads add repeated rows as they come."""


class UnorderedAdditions(TorchDispatchMode):
    """Lists the operations whose results differ from run to run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        accumulates = args[3] if len(args) > 3 else (kwargs or {}).get("accumulate", False)
        if func.overloadpacket in UNORDERED and accumulates:
            self.found.append(f"{func.overloadpacket.__name__} into {list(args[0].shape)}")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", REGISTRY)
def test_repeated_rows_are_added_up_in_a_fixed_order(name: str) -> None:
    torch.manual_seed(0)
    config = REGISTRY[name].Config(embedding_size=6, batch_size=8)
    model = REGISTRY[name](toy_interactions(), toy_features(2), config)
    model.train()
    model.start_epoch(0, torch.Generator().manual_seed(0))
    with UnorderedAdditions() as additions:
        terms = model(toy_batch(toy_interactions()))
        if terms:
            torch.stack(list(terms.values())).sum().backward()
    assert additions.found == []
