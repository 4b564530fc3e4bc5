import pytest
import torch
from torch import Tensor, nn

from prismrec.training.optimizer import Adam


def gradients(epoch: int, step: int, like: Tensor) -> Tensor:
    """Of very different sizes, zeros among them, so that ε matters for some entries and not for others."""
    generator = torch.Generator().manual_seed(100 * epoch + step)
    sizes = torch.logspace(-12, 2, like.numel()).to(like).view_as(like)
    return torch.randn(like.shape, generator=generator).to(like) * sizes * (sizes > 1e-11)


def train(
    optimizer: Adam | torch.optim.Adam, always: Tensor, seldom: Tensor, epochs: range, steps: int, zeros: bool
) -> None:
    for epoch in epochs:
        if isinstance(optimizer, Adam):
            optimizer.lr = 0.01 * 0.9**epoch
        else:
            optimizer.param_groups[0]["lr"] = 0.01 * 0.9**epoch
        for step in range(steps):
            optimizer.zero_grad()
            always.grad = gradients(epoch, step, always)
            if step == 0:
                seldom.grad = gradients(epoch, 1000, seldom)
            elif zeros:
                seldom.grad = torch.zeros_like(seldom)
            optimizer.step()
        if isinstance(optimizer, Adam):
            optimizer.apply_deferred_steps()


def weights(dtype: torch.dtype) -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(3, 4, dtype=dtype)), nn.Parameter(torch.randn(10, 5, dtype=dtype))]


@pytest.mark.parametrize(("epochs", "steps"), [(1, 2), (1, 4), (3, 7), (4, 40), (2, 260)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_steps_put_off_end_where_explicit_zero_gradients_do(
    epochs: int, steps: int, weight_decay: float, dtype: torch.dtype, tolerance: float
) -> None:
    start, ours, theirs = weights(dtype), weights(dtype), weights(dtype)
    optimizer = Adam(ours, ours[1:], lr=0.01, weight_decay=weight_decay)
    plain = torch.optim.Adam(theirs, lr=0.01, weight_decay=weight_decay, fused=True)
    train(optimizer, *ours, range(epochs), steps, zeros=False)
    train(plain, *theirs, range(epochs), steps, zeros=True)
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=0)
    moved = (theirs[1] - start[1]).abs().max().item()
    torch.testing.assert_close(ours[1], theirs[1], rtol=0, atol=tolerance * moved)
    found = optimizer.state()
    for name, moment in plain.state[theirs[1]].items():
        torch.testing.assert_close(found[f"1.{name}"], moment, rtol=tolerance * steps, atol=1e-30)


def test_a_repeated_step_puts_off_what_the_step_did() -> None:
    """A GPU that repeats a recorded step moves the weights with a gradient; those put off are counted here."""
    taken, repeated = weights(torch.float64), weights(torch.float64)
    for parameters in (taken, repeated):
        optimizer = Adam(parameters, parameters[1:], lr=0.01, weight_decay=0.0)
        train(optimizer, *parameters, range(1), 2, zeros=False)
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        for step in range(5):
            optimizer.zero_grad()
            parameters[0].grad = torch.ones_like(parameters[0])
            if parameters is taken or step == 0:
                optimizer.step()
            else:
                optimizer.step_repeated()
        optimizer.apply_deferred_steps()
    torch.testing.assert_close(repeated[1], taken[1])
    assert not torch.equal(repeated[0], taken[0])


def test_a_weight_that_does_not_drift_stays_while_it_has_no_gradient() -> None:
    ours = weights(torch.float64)
    optimizer = Adam(ours, [], lr=0.01, weight_decay=0)
    train(optimizer, *ours, range(1), 1, zeros=False)
    before = ours[1].detach().clone()
    optimizer.zero_grad()
    optimizer.step()
    optimizer.apply_deferred_steps()
    assert torch.equal(ours[1], before)


def test_a_state_saved_between_epochs_is_complete() -> None:
    straight, resumed = weights(torch.float32), weights(torch.float32)
    optimizer = Adam(straight, straight[1:], lr=0.01, weight_decay=0)
    train(optimizer, *straight, range(2), 9, zeros=False)
    for target, source in zip(resumed, straight, strict=True):
        target.data.copy_(source.data)
    saved = optimizer.state()
    train(optimizer, *straight, range(2, 4), 9, zeros=False)
    again = Adam(resumed, resumed[1:], lr=0.01, weight_decay=0)
    again.restore(saved)
    train(again, *resumed, range(2, 4), 9, zeros=False)
    assert torch.equal(straight[0], resumed[0])
    assert torch.equal(straight[1], resumed[1])


def test_a_weight_read_before_it_caught_up_is_an_error() -> None:
    ours = weights(torch.float32)
    optimizer = Adam(ours, ours[1:], lr=0.01, weight_decay=0)
    with pytest.raises(RuntimeError, match="before it caught up"):
        for has_gradient in (True, False, True):
            ours[1].grad = torch.ones_like(ours[1]) if has_gradient else None
            optimizer.step()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_sparse_gradients_move_every_row_as_their_dense_forms_do(
    implementation: str, weight_decay: float, dtype: torch.dtype
) -> None:
    ours, theirs = weights(dtype), weights(dtype)
    optimizer = Adam(ours, [], lr=0.01, weight_decay=weight_decay)
    plain = torch.optim.Adam(theirs, lr=0.01, weight_decay=weight_decay, fused=True)
    for step, rows in enumerate([[1, 4, 1], [0, 9], [4], [2, 2, 2]]):  # repeated rows, rows that momentum alone moves
        targets = torch.randn(len(rows), 5, generator=torch.Generator().manual_seed(step)).to(dtype)
        for pair, adam in ((ours, optimizer), (theirs, plain)):
            adam.zero_grad()
            read = torch.nn.functional.embedding(torch.tensor(rows), pair[1], sparse=pair is ours)
            ((read * targets).sum() + pair[0].square().sum()).backward()
            adam.step()
    torch.testing.assert_close(ours, theirs)
