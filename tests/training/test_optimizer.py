from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prismrec.training import Adam
from prismrec.training.checkpoint import copy_optimizer_state, restore_optimizer_state


class TwoWeights(nn.Module):
    """One weight with a gradient in every step, and one with a gradient in the first step of an epoch."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.always = nn.Parameter(torch.randn(3, 4, dtype=dtype))
        self.seldom = nn.Parameter(torch.randn(10, 5, dtype=dtype))


def gradient(epoch: int, step: int, like: Tensor) -> Tensor:
    """Entries of very different sizes, zeros among them: ε matters for some of them and not for others."""
    generator = torch.Generator().manual_seed(100 * epoch + step)
    sizes = torch.logspace(-12, 2, like.numel()).to(like).view_as(like)
    return torch.randn(like.shape, generator=generator).to(like) * sizes * (sizes > 1e-11)


def deferring_adam(weights: TwoWeights, weight_decay: float = 0.0) -> Adam:
    groups = [{"params": [weights.always]}, {"params": [weights.seldom], "absent_is_zero": True}]
    return Adam(groups, lr=0.01, weight_decay=weight_decay)


def train_with_absent_gradients(optimizer: Adam, weights: TwoWeights, epochs: range, steps: int) -> None:
    for epoch in epochs:
        optimizer.set_lr(0.01 * 0.9**epoch)
        for step in range(steps):
            optimizer.zero_grad()
            weights.always.grad = gradient(epoch, step, weights.always)
            if step == 0:
                weights.seldom.grad = gradient(epoch, 1000, weights.seldom)
            optimizer.step()
        optimizer.apply_deferred_steps()


def train_with_zero_gradients(optimizer: torch.optim.Adam, weights: TwoWeights, epochs: range, steps: int) -> None:
    for epoch in epochs:
        optimizer.param_groups[0]["lr"] = 0.01 * 0.9**epoch
        for step in range(steps):
            weights.always.grad = gradient(epoch, step, weights.always)
            weights.seldom.grad = torch.zeros_like(weights.seldom)
            if step == 0:
                weights.seldom.grad = gradient(epoch, 1000, weights.seldom)
            optimizer.step()


@pytest.mark.parametrize(("epochs", "steps"), [(1, 2), (1, 4), (3, 7), (4, 40), (2, 260)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_deferred_steps_equal_steps_with_gradients_of_zero(
    epochs: int, steps: int, weight_decay: float, dtype: torch.dtype, tolerance: float
) -> None:
    start, ours, theirs = TwoWeights(dtype), TwoWeights(dtype), TwoWeights(dtype)
    adam = torch.optim.Adam(theirs.parameters(), lr=0.01, weight_decay=weight_decay, fused=True)
    deferring = deferring_adam(ours, weight_decay)
    train_with_absent_gradients(deferring, ours, range(epochs), steps)
    train_with_zero_gradients(adam, theirs, range(epochs), steps)
    torch.testing.assert_close(ours.always, theirs.always, rtol=0, atol=0)
    moved = (theirs.seldom - start.seldom).abs().max().item()
    torch.testing.assert_close(ours.seldom, theirs.seldom, rtol=0, atol=tolerance * moved)
    for name, moment in adam.state[theirs.seldom].items():
        torch.testing.assert_close(deferring.state[ours.seldom][name], moment, rtol=tolerance * steps, atol=1e-30)
    assert not deferring.state[ours.seldom]["deferred"]


def test_weights_without_a_gradient_stay_unless_absent_counts_as_zero() -> None:
    weights = TwoWeights(torch.float64)
    optimizer = Adam(weights.parameters(), lr=0.01)
    train_with_absent_gradients(optimizer, weights, range(1), 1)
    before = weights.seldom.detach().clone()
    optimizer.zero_grad()
    optimizer.step()
    optimizer.apply_deferred_steps()
    assert torch.equal(weights.seldom, before)


def test_a_weight_without_a_first_gradient_has_nothing_to_defer() -> None:
    weights = TwoWeights(torch.float32)
    optimizer, before = deferring_adam(weights), weights.seldom.detach().clone()
    weights.always.grad = torch.ones_like(weights.always)
    optimizer.step()
    optimizer.apply_deferred_steps()
    assert torch.equal(weights.seldom, before)
    assert weights.seldom not in optimizer.state


def test_the_first_gradient_may_come_after_steps_and_epochs_without_one() -> None:
    ours, theirs = TwoWeights(torch.float32), TwoWeights(torch.float32)
    optimizer = deferring_adam(ours)
    ours.always.grad = torch.ones_like(ours.always)
    optimizer.step()
    optimizer.apply_deferred_steps()
    ours.seldom.grad = gradient(0, 0, ours.seldom)
    optimizer.step()
    adam = torch.optim.Adam([theirs.seldom], lr=0.01, fused=True)
    theirs.seldom.grad = gradient(0, 0, theirs.seldom)
    adam.step()
    assert torch.equal(ours.seldom, theirs.seldom)


def test_a_gradient_before_deferred_steps_are_applied_is_an_error() -> None:
    weights = TwoWeights(torch.float32)
    optimizer = deferring_adam(weights)
    weights.seldom.grad = torch.ones_like(weights.seldom)
    optimizer.step()
    optimizer.zero_grad()
    optimizer.step()
    weights.seldom.grad = torch.ones_like(weights.seldom)
    with pytest.raises(RuntimeError, match="before its deferred steps were applied"):
        optimizer.step()


@pytest.mark.parametrize("deferred", [False, True])
def test_a_copied_state_continues_to_the_same_bits(deferred: bool) -> None:
    """Between two epochs, and also between two steps, when some steps are deferred."""
    straight, resumed = TwoWeights(torch.float32), TwoWeights(torch.float32)
    optimizer = deferring_adam(straight)
    train_with_absent_gradients(optimizer, straight, range(2), 9)
    if deferred:
        straight.seldom.grad = torch.ones_like(straight.seldom)
        optimizer.step()
        optimizer.zero_grad()
        optimizer.step()
    saved, weights = copy_optimizer_state(straight, optimizer), deepcopy(straight.state_dict())
    optimizer.apply_deferred_steps()
    train_with_absent_gradients(optimizer, straight, range(2, 4), 9)
    resumed.load_state_dict(weights)
    again = deferring_adam(resumed)
    again.set_lr(0.01 * 0.9)
    restore_optimizer_state(resumed, again, saved)
    again.apply_deferred_steps()
    train_with_absent_gradients(again, resumed, range(2, 4), 9)
    assert torch.equal(straight.always, resumed.always)
    assert torch.equal(straight.seldom, resumed.seldom)


def test_the_state_of_another_model_is_refused() -> None:
    weights = TwoWeights(torch.float32)
    optimizer = deferring_adam(weights)
    with pytest.raises(ValueError, match="which the model does not have"):
        restore_optimizer_state(weights, optimizer, {"other/exp_avg": torch.zeros(3, 4)})
    with pytest.raises(ValueError, match=r"shape \[4, 4\], not \[3, 4\]"):
        restore_optimizer_state(weights, optimizer, {"always/exp_avg": torch.zeros(4, 4)})
    with pytest.raises(ValueError, match=r"shape \[2\], not \[\]"):
        restore_optimizer_state(weights, optimizer, {"always/step": torch.zeros(2)})


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_sparse_gradients_move_all_rows_like_dense_ones(weight_decay: float, dtype: torch.dtype) -> None:
    """Rows repeat, and some rows move by momentum alone."""
    ours, theirs = TwoWeights(dtype), TwoWeights(dtype)
    adam = torch.optim.Adam(theirs.parameters(), lr=0.01, weight_decay=weight_decay, fused=True)
    optimizer = Adam(ours.parameters(), lr=0.01, weight_decay=weight_decay)
    for step, rows in enumerate([[1, 4, 1], [0, 9], [4], [2, 2, 2]]):
        targets = torch.randn(len(rows), 5, generator=torch.Generator().manual_seed(step)).to(dtype)
        for weights, each, sparse in ((ours, optimizer, True), (theirs, adam, False)):
            each.zero_grad()
            read = F.embedding(torch.tensor(rows), weights.seldom, sparse=sparse)
            ((read * targets).sum() + weights.always.square().sum()).backward()
            each.step()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def loss(weights: TwoWeights, step: int) -> Tensor:
    return (weights.always - step).square().sum() + weights.seldom.sin().sum()


def assert_equal_trajectories(
    ours: TwoWeights, optimizer: torch.optim.Optimizer, theirs: TwoWeights, adam: torch.optim.Optimizer, first: int
) -> None:
    """Five steps of both optimisers with the same loss end at the same bits."""
    for step in range(first, first + 5):
        for weights, each in ((ours, optimizer), (theirs, adam)):
            each.zero_grad()
            loss(weights, step).backward()
            each.step()
    assert torch.equal(ours.always, theirs.always)
    assert torch.equal(ours.seldom, theirs.seldom)


def test_a_learning_rate_scheduler_drives_it_like_the_adam_of_pytorch() -> None:
    ours, theirs = TwoWeights(torch.float32), TwoWeights(torch.float32)
    optimizer = Adam(ours.parameters(), lr=0.1)
    adam = torch.optim.Adam(theirs.parameters(), lr=0.1, fused=True)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(each, lambda epoch: 0.5**epoch) for each in (optimizer, adam)]
    for epoch in range(3):
        assert_equal_trajectories(ours, optimizer, theirs, adam, 5 * epoch)
        for scheduler in schedulers:
            scheduler.step()
    assert optimizer.param_groups[0]["lr"] == adam.param_groups[0]["lr"] == pytest.approx(0.1 / 8)


def test_parameter_groups_keep_their_own_settings() -> None:
    ours, theirs = TwoWeights(torch.float32), TwoWeights(torch.float32)

    def groups(weights: TwoWeights) -> list[dict[str, object]]:
        return [{"params": weights.always, "lr": 0.3}, {"params": [weights.seldom], "weight_decay": 0.2}]

    optimizer = Adam(groups(ours), lr=0.01)
    adam = torch.optim.Adam(groups(theirs), lr=0.01, fused=True)
    assert_equal_trajectories(ours, optimizer, theirs, adam, 0)
    optimizer.set_lr(0.05)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.05]


def test_a_closure_computes_the_loss_of_the_step() -> None:
    ours, theirs = TwoWeights(torch.float32), TwoWeights(torch.float32)
    optimizer = Adam(ours.parameters(), lr=0.1)
    adam = torch.optim.Adam(theirs.parameters(), lr=0.1, fused=True)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(ours, 0)
        value.backward()
        return value

    for _ in range(3):
        returned = optimizer.step(closure)
        adam.zero_grad()
        value = loss(theirs, 0)
        value.backward()
        adam.step()
        assert torch.equal(returned, value)
    assert torch.equal(ours.always, theirs.always)
    assert optimizer.step() is None


def test_a_state_dict_continues_to_the_same_bits() -> None:
    ours, theirs = TwoWeights(torch.float32), TwoWeights(torch.float32)
    optimizer = Adam(ours.parameters(), lr=0.1, weight_decay=0.01)
    adam = torch.optim.Adam(theirs.parameters(), lr=0.1, weight_decay=0.01, fused=True)
    assert_equal_trajectories(ours, optimizer, theirs, adam, 0)
    resumed = deepcopy(ours)
    again = Adam(resumed.parameters(), lr=99.0)
    again.load_state_dict(optimizer.state_dict())
    assert again.param_groups[0]["lr"] == 0.1
    assert_equal_trajectories(resumed, again, theirs, adam, 5)


def test_a_state_dict_keeps_deferred_steps() -> None:
    straight = TwoWeights(torch.float32)
    optimizer = deferring_adam(straight)
    straight.seldom.grad = torch.ones_like(straight.seldom)
    optimizer.step()
    optimizer.zero_grad()
    for _ in range(4):
        optimizer.step()
    resumed = deepcopy(straight)
    again = deferring_adam(resumed)
    again.load_state_dict(deepcopy(optimizer.state_dict()))  # PyTorch does not copy the tensors
    optimizer.apply_deferred_steps()
    again.apply_deferred_steps()
    assert torch.equal(straight.seldom, resumed.seldom)
    assert again.state[resumed.seldom]["step"] == 5


def test_zero_grad_drops_gradients() -> None:
    weights = TwoWeights(torch.float32)
    optimizer = Adam(weights.parameters())
    loss(weights, 0).backward()
    optimizer.zero_grad()
    assert weights.always.grad is None
    with pytest.raises(ValueError, match="dropped"):
        optimizer.zero_grad(set_to_none=False)


def test_parameters_may_be_added_later() -> None:
    ours, theirs = TwoWeights(torch.float32), TwoWeights(torch.float32)
    optimizer = Adam([ours.always], lr=0.1)
    optimizer.add_param_group({"params": ours.seldom, "lr": 0.2})
    adam = torch.optim.Adam([theirs.always], lr=0.1, fused=True)
    adam.add_param_group({"params": theirs.seldom, "lr": 0.2})
    assert_equal_trajectories(ours, optimizer, theirs, adam, 0)


def test_hooks_run_around_each_step() -> None:
    weight, calls = torch.nn.Parameter(torch.ones(3)), []
    optimizer = Adam([weight], lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    for _ in range(2):
        weight.grad = torch.ones(3)
        optimizer.step()
    assert calls == ["before", "after"] * 2
