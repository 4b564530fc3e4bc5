"""A model works inside the wrappers of PyTorch, because the trainer calls `forward`."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn

from prismrec.models import Recommender
from prismrec.models.lgmrec import LGMRec
from prismrec.models.lightgcn import LightGCN
from prismrec.models.mf_bpr import MFBPR
from prismrec.ops import without_kernels
from prismrec.testing import toy_batch, toy_features, toy_interactions


def build(model: type[Recommender]) -> Recommender:
    torch.manual_seed(0)
    return model(toy_interactions(), toy_features(2), model.Config(embedding_size=6, batch_size=8))


def terms_and_gradients(forward: nn.Module, model: Recommender) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The loss terms of a step, and the gradients of all weights."""
    torch.manual_seed(1)  # of noise and dropout
    model.zero_grad()
    terms = forward(toy_batch(toy_interactions()))
    torch.stack(list(terms.values())).sum().backward()
    gradients = {name: weight.grad.to_dense().clone() for name, weight in model.named_parameters()}
    return {name: term.detach() for name, term in terms.items()}, gradients


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """A group of one process."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("model_class", [LightGCN, LGMRec])
def test_distributed_data_parallel_gives_the_same_terms_and_gradients(model_class: type[Recommender]) -> None:
    model = build(model_class)
    expected_terms, expected_gradients = terms_and_gradients(model, model)
    parallel = nn.parallel.DistributedDataParallel(model)
    for _ in range(2):
        terms, gradients = terms_and_gradients(parallel, model)
        torch.testing.assert_close(terms, expected_terms, rtol=0, atol=0)
        torch.testing.assert_close(gradients, expected_gradients, rtol=0, atol=0)


@pytest.mark.parametrize(("model_class", "kernels"), [(MFBPR, True), (LightGCN, False), (LGMRec, False)])
def test_torch_compile_gives_the_same_terms_and_gradients(model_class: type[Recommender], kernels: bool) -> None:
    """The compiled kernels are called through ctypes, which the compiler of PyTorch does not trace."""
    torch.compiler.reset()
    with nullcontext() if kernels else without_kernels():
        model = build(model_class)
        expected_terms, expected_gradients = terms_and_gradients(model, model)
        terms, gradients = terms_and_gradients(torch.compile(model, backend="eager"), model)
    torch.testing.assert_close(terms, expected_terms)
    torch.testing.assert_close(gradients, expected_gradients)
