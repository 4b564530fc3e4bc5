"""Fitted users minimise their convex problem, and the parts of the computation do not change them."""

import pytest
import torch
from torch import Tensor

from prismrec.nn import user_fit
from prismrec.nn.user_fit import STEPS, fit_users


def problem(scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Items `[I, d]`, their offsets `[I]`, and the clicks of users `[U, I]`; the first user has none."""
    generator = torch.Generator().manual_seed(0)
    items = scale * torch.randn(40, 5, generator=generator) + 1
    clicks = (torch.rand(30, 40, generator=generator) < 0.2).to(items)
    clicks[0] = 0
    return items, torch.randn(40, generator=generator), clicks


def fitted(items: Tensor, offset: Tensor, clicks: Tensor, steps: int = STEPS) -> Tensor:
    """The vectors z `[U, d]`."""
    embeddings = fit_users(items, offset, clicks.sum(1), lambda x: clicks @ x, steps)
    torch.testing.assert_close(embeddings.items, torch.cat([items, offset[:, None]], 1))
    assert (embeddings.users[:, -1] == 1).all()
    return embeddings.users[:, :-1]


def objective(users: Tensor, items: Tensor, offset: Tensor, clicks: Tensor) -> Tensor:
    """The negative logarithm of the posterior of each user, `[U]`."""
    chances = torch.log_softmax(users @ items.T + offset, 1)
    return -(clicks * chances).sum(1) + users.square().sum(1) / 2


@pytest.mark.parametrize("scale", [0.3, 1.0, 5.0])
def test_the_gradient_vanishes_after_enough_steps(float64: None, scale: float) -> None:
    items, offset, clicks = problem(scale)
    users = fitted(items, offset, clicks, steps=2000).requires_grad_()
    (gradient,) = torch.autograd.grad(objective(users, items, offset, clicks).sum(), users)
    assert gradient.abs().max() < 1e-6
    assert not users[0].any()


def test_a_few_steps_reach_most_of_the_gain(float64: None) -> None:
    items, offset, clicks = problem(1.0)
    ends = [fitted(items, offset, clicks, steps=steps) for steps in (0, 6, 2000)]
    start, few, best = [float(objective(users, items, offset, clicks).sum()) for users in ends]
    assert (few - best) < 0.01 * (start - best)


def test_blocks_of_users_do_not_change_them(float64: None, monkeypatch: pytest.MonkeyPatch) -> None:
    items, offset, clicks = problem(1.0)
    whole = fitted(items, offset, clicks)
    monkeypatch.setattr(user_fit, "_SCORES_AT_A_TIME", 7 * 40)
    torch.testing.assert_close(fitted(items, offset, clicks), whole)


def test_a_sample_of_many_items_gives_similar_users(float64: None, monkeypatch: pytest.MonkeyPatch) -> None:
    items, offset, clicks = problem(0.5)
    whole = fitted(items, offset, clicks)
    monkeypatch.setattr(user_fit, "_MOST_SCORES", 30)
    monkeypatch.setattr(user_fit, "_LEAST_ITEMS", 25)
    sampled = fitted(items, offset, clicks)
    assert not torch.equal(sampled, whole)
    assert torch.cosine_similarity(sampled[1:], whole[1:]).mean() > 0.9
