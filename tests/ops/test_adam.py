"""Adam's steps against those of PyTorch."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prismrec.ops.adam import Moments, can_step_by_rows, step_by_rows, step_with_zero_gradients


def gradient(seed: int, like: Tensor) -> Tensor:
    """Entries of very different sizes, zeros among them: ε matters for some of them and not for others."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.logspace(-12, 2, like.numel()).to(like).view_as(like)
    return torch.randn(like.shape, generator=generator).to(like) * sizes * (sizes > 1e-11)


def moments(weight: Tensor) -> Moments:
    return Moments(torch.zeros_like(weight), torch.zeros_like(weight), torch.zeros(()))


@pytest.mark.parametrize("steps", [1, 3, 6, 39, 259])
@pytest.mark.parametrize("gradients_before", [1, 4])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_steps_of_zero_gradient_at_once_equal_single_steps(
    steps: int, gradients_before: int, dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(10, 5, dtype=dtype))
    optimizer = torch.optim.Adam([weight], lr=0.01, fused=True)
    for step in range(gradients_before):
        weight.grad = gradient(step, weight)
        optimizer.step()
    state = optimizer.state[weight]
    found = weight.detach().clone()
    found_moments = Moments(state["exp_avg"].clone(), state["exp_avg_sq"].clone(), state["step"].clone())
    start = found.clone()
    step_with_zero_gradients(found, found_moments, steps, 0.01)
    for _ in range(steps):
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    moved = (weight.detach() - start).abs().max().item()
    rounding = steps * torch.finfo(dtype).eps  # single steps round the weight every time
    torch.testing.assert_close(found, weight.detach(), rtol=0, atol=tolerance * moved + rounding)
    torch.testing.assert_close(found_moments.exp_avg, state["exp_avg"], rtol=tolerance * steps, atol=1e-30)
    torch.testing.assert_close(found_moments.exp_avg_sq, state["exp_avg_sq"], rtol=tolerance * steps, atol=1e-30)
    assert found_moments.step == state["step"]


@pytest.mark.skipif(not can_step_by_rows(torch.ones(1)), reason="the kernels are not built here")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_step_by_rows_equals_the_step_of_the_dense_gradient(dtype: torch.dtype, weight_decay: float) -> None:
    torch.manual_seed(0)
    start = torch.randn(600, 35, dtype=dtype)
    weight = nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([weight], lr=0.01, weight_decay=weight_decay, fused=True)
    found = start.clone()
    found_moments = moments(found)
    for _ in range(4):
        rows = torch.randint(500, (700,))  # some repeat, and some rows move by momentum alone
        values = torch.randn(700, 35, dtype=dtype)
        sparse = torch.sparse_coo_tensor(rows[None], values, start.shape)
        step_by_rows(found, found_moments, sparse, 0.01, weight_decay)
        weight.grad = F.embedding(rows, torch.eye(600, dtype=dtype)).T @ values
        optimizer.step()
    torch.testing.assert_close(found, weight.detach())
    torch.testing.assert_close(found_moments.exp_avg_sq, optimizer.state[weight]["exp_avg_sq"])
    assert found_moments.step == 4
