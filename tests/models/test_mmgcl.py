"""MMGCL against a dense reading of its equations, golden values and the checks of its specification."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.models.mmgcl import MMGCL, _Draws
from prismrec.testing import NUM_USERS, RecommenderContract, toy_batch, toy_features, toy_interactions
from prismrec.types import Interactions, Triplets

import golden
import plain


class TestMMGCL(RecommenderContract):
    model = MMGCL
    learning_epochs = 15


class TestMMGCLNodeDrop(RecommenderContract):
    model = MMGCL
    learning_epochs = 15
    config = {"mask": "node_drop"}


class TestMMGCLOfficial(RecommenderContract):
    model = MMGCL
    learning_epochs = 15
    config = {"variant": "official"}


def build(modalities: int = 2, **settings: object) -> MMGCL:
    torch.manual_seed(0)
    config = MMGCL.Config(**{"embedding_size": 6, "layers": 2, "drop_rate": 0.2, **settings})
    return MMGCL(toy_interactions(), toy_features(modalities), config)


def square_of(train: Interactions, kept: Tensor | None = None) -> Tensor:
    """Â of some of the interactions."""
    rows = np.ones(len(train), dtype=bool) if kept is None else kept.numpy()
    part = Interactions.from_pairs(train.users[rows], train.items[rows], train.num_users, train.num_items)
    return plain.normalised(plain.adjacency(plain.dense(part)))


def propagate(model: MMGCL, square: Tensor, items: Tensor) -> Tensor:
    """H `[U + I, d]` of a channel with these item inputs."""
    return plain.layer_mean(square, torch.cat([model.encoder.user_table, items]), model.config.layers)


def fused_users(model: MMGCL, channels: list[Tensor], users: Tensor) -> Tensor:
    return model.encoder.user_readout(torch.cat([H[users] for H in channels], 1))


def fused_items(model: MMGCL, channels: list[Tensor], items: Tensor) -> Tensor:
    return model.encoder.item_readout(torch.cat([H[NUM_USERS + items] for H in channels], 1))


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


def dense_contrast(model: MMGCL, first: list[Tensor], second: list[Tensor], hard: Tensor, batch: Triplets) -> Tensor:
    """The contrast of two views, given by their channels `[U + I, d]`, with hard negatives `[B, d]`."""
    nce, temperature = plain.in_batch_info_nce, model.config.temperature
    users1 = unit(fused_users(model, first, batch.users))
    items1 = unit(fused_items(model, first, batch.positives))
    users2 = unit(fused_users(model, second, batch.users))
    items2 = unit(fused_items(model, second, batch.positives))
    if model.config.variant == "official":
        return 2 * nce(users1, items1, temperature)
    if model.config.variant == "user_item":
        agreement = nce(users1, items1, temperature) + nce(users2, items2, temperature)
        return agreement - nce(users1, hard, temperature)
    logits = torch.cat([items1 @ items2.T, (items1 * hard).sum(1, keepdim=True)], 1) / temperature
    return nce(users1, users2, temperature) - logits.log_softmax(1).diagonal().mean()


def dense_loss(model: MMGCL, batch: Triplets, draws: _Draws) -> dict[str, Tensor]:
    """The whole loss, channel by channel on full matrices."""
    train = toy_interactions()
    inputs = list(model.encoder.inputs().unbind(1))
    full = square_of(train)
    main = [propagate(model, full, C) for C in inputs]
    users = fused_users(model, main, batch.users)
    positives = fused_items(model, main, batch.positives)
    negatives = fused_items(model, main, batch.negatives)
    margins = (users * (positives - negatives)).sum(1)
    first = [propagate(model, square_of(train, draws.kept), C) for C in inputs]
    second = list(main)
    if draws.noise is None:
        second[draws.masked] = propagate(model, square_of(train, draws.connected), inputs[draws.masked])
    else:
        second[draws.masked] = propagate(model, full, draws.noise)
    blocks = [
        H[NUM_USERS + (batch.negatives if channel == draws.swapped else batch.positives)]
        for channel, H in enumerate(first)
    ]
    hard = unit(model.encoder.item_readout(torch.cat(blocks, 1)))
    return {
        "bpr": -torch.log(1e-5 + 1 / (1 + torch.exp(-margins))).mean(),
        "contrast": model.config.contrast_weight * dense_contrast(model, first, second, hard, batch),
    }


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("mask", ["random_feature", "node_drop"])
@pytest.mark.parametrize("variant", ["paper", "user_item", "official"])
def test_loss_and_gradients_equal_the_dense_reading(modalities: int, mask: str, variant: str) -> None:
    model, batch = build(modalities, mask=mask, variant=variant), toy_batch(toy_interactions())
    draws = model._draw()
    terms, expected = model._loss(batch, draws), dense_loss(model, batch, draws)
    torch.testing.assert_close(terms, expected)
    weights = list(model.parameters())
    here = torch.autograd.grad(sum(terms.values()), weights)
    there = torch.autograd.grad(sum(expected.values()), weights)
    torch.testing.assert_close(here, there)


@pytest.mark.usefixtures("float64")
def test_golden_values() -> None:
    train, losses = golden.TRAIN, {}
    connected = torch.from_numpy((train.users != 3) & (train.items != 0))
    pairs = zip(train.users.tolist(), train.items.tolist(), strict=True)
    kept = torch.tensor([pair not in [(1, 1), (2, 1)] for pair in pairs])
    for variant in ("paper", "user_item", "official"):
        model = MMGCL(train, golden.features(), MMGCL.Config(embedding_size=4, layers=2, variant=variant))
        golden.fill_channels(model.encoder)
        for noise, edges in ((None, connected), (golden.filler(102, 5, 4), None)):
            losses[variant, noise is None] = model._loss(
                golden.BATCH, _Draws(kept, torch.tensor([1]), torch.tensor([2]), noise, edges)
            )
    embeddings = model.embed()
    found = [
        embeddings.users.sum(),
        embeddings.items.sum(),
        embeddings.users[0, 0],
        embeddings.items[4, -1],
        losses["paper", True]["bpr"],
        losses["official", True]["contrast"] / 0.4,
        sum(losses["official", False].values()),
        losses["user_item", True]["contrast"] / 0.4,
        losses["paper", True]["contrast"] / 0.4,
        losses["paper", False]["contrast"] / 0.4,
    ]
    expected = [5.696347095, -0.496014090, 0.524541895, 0.077153510, 0.727425255, 3.888988472, 2.283020644, 2.008619985]
    expected += [0.911421458 + 1.200341969, 1.077948402 + 3.090958683]
    torch.testing.assert_close(torch.stack(found), torch.tensor(expected), rtol=0, atol=1e-8)


def changed_draws(model: MMGCL, batch: Triplets) -> dict[str, Tensor]:
    """The contrast after a change of one random choice or of the negatives, by its name; "" changes nothing."""
    one, two = torch.tensor([1]), torch.tensor([2])
    draws = model._draw()._replace(masked=one, swapped=one)
    other_noise = draws.noise.flip(0)
    ways = {"": {}, "masked": {"masked": two}, "swapped": {"swapped": two}, "noise": {"noise": other_noise}}
    found = {name: model._loss(batch, draws._replace(**change))["contrast"] for name, change in ways.items()}
    negatives = Triplets(batch.users, batch.positives, batch.positives.flip(0))
    return found | {"negatives": model._loss(negatives, draws)["contrast"]}


@pytest.mark.parametrize(("variant", "changes_loss"), [("paper", True), ("user_item", True), ("official", False)])
def test_the_masked_view_and_the_hard_negatives_change_the_loss_except_in_the_official_code(
    variant: str, changes_loss: bool
) -> None:
    contrasts = changed_draws(build(variant=variant), toy_batch(toy_interactions()))
    reference = contrasts.pop("")
    assert all(torch.equal(contrast, reference) != changes_loss for contrast in contrasts.values())


def test_the_masked_channel_does_not_read_the_items_it_masks() -> None:
    model, batch = build(mask_probabilities=(1, 1)), toy_batch(toy_interactions())
    draws = model._draw()._replace(masked=torch.tensor([1]))
    inputs = model.encoder.inputs()
    channel = model._masked_channel(inputs, model.encoder.propagate(inputs), draws)
    assert not channel.users_from_items.requires_grad
    assert not channel.items_from_items.requires_grad
    assert channel.users(batch.users).requires_grad  # the users stay


def test_a_step_draws_only_what_its_mask_needs() -> None:
    for mask in ("random_feature", "node_drop"):
        draws = build(mask=mask, drop_rate=0.3)._draw()
        assert draws.kept.sum() == int(len(toy_interactions()) * 0.7)
        assert (draws.noise is None) == (draws.connected is not None) == (mask == "node_drop")


def test_dropping_nothing_makes_both_views_the_full_graph() -> None:
    model, batch = build(mask="node_drop", drop_rate=0.0, layers=3), toy_batch(toy_interactions())
    embeddings = model.embed()
    users = F.normalize(embeddings.users[batch.users])
    items = F.normalize(embeddings.items[batch.positives])
    same = Triplets(batch.users, batch.positives, batch.positives)  # the hard negative is the item itself
    logits = torch.cat([items @ items.T, torch.ones(len(batch), 1)], 1) / 0.2
    expected = plain.in_batch_info_nce(users, users, 0.2) - logits.log_softmax(1).diagonal().mean()
    torch.testing.assert_close(model(same)["contrast"], 0.4 * expected)


def test_modalities_are_masked_by_their_probabilities_and_swapped_equally_often() -> None:
    model = build(mask_probabilities=(3, 1))
    draws = [model._draw() for _ in range(400)]
    assert 250 < sum(draw.masked == 1 for draw in draws) < 350
    assert 150 < sum(draw.swapped == 1 for draw in draws) < 250
    assert {int(draw.masked) for draw in draws} == {int(draw.swapped) for draw in draws} == {1, 2}


def test_mask_probabilities_of_another_number_of_modalities_are_refused() -> None:
    with pytest.raises(ValueError, match="mask_probabilities has 3 values for 2 modalities"):
        build(mask_probabilities=(0.4, 0.4, 0.2))


def test_without_weight_it_is_the_ranking_loss_alone() -> None:
    assert list(build(contrast_weight=0)(toy_batch(toy_interactions()))) == ["bpr"]
