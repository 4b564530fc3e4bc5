from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from prismrec.models import acf
from prismrec.models.acf import ACF, ACFConfig
from prismrec.testing import (
    ISOLATED_USER,
    NUM_ITEMS,
    NUM_USERS,
    RecommenderContract,
    toy_batch,
    toy_features,
    toy_interactions,
)
from prismrec.types import Interactions, Triplets


class TestACF(RecommenderContract):
    model = ACF
    config = {"attention_size": 5}


class TestOfficialACF(RecommenderContract):
    model = ACF
    config = {"attention_size": 5, "variant": "official"}


def build(train: Interactions | None = None, features: Mapping[str, Tensor] | None = None, **settings: object) -> ACF:
    """With tables of a size at which the attentions are far from even."""
    torch.manual_seed(0)
    model = ACF(
        toy_interactions() if train is None else train,
        toy_features(2) if features is None else features,
        ACFConfig(**{"embedding_size": 6, "attention_size": 5, **settings}),
    )
    for weight in model.parameters():
        weight.data.normal_()
    return model


def dense_users(model: ACF, train: Interactions, features: Mapping[str, Tensor]) -> Tensor:
    """The definition for all users and items at once, padded to all items and masked."""
    x = torch.stack([f.to(p) @ p for f, p in zip(features.values(), model.projections, strict=True)], 1)  # [I, M, d]
    present = torch.stack([f.any(1) for f in features.values()], 1)  # [I, M]
    e, v, first, second = model.user_table, model.item_table, model.item_attention, model.component_attention
    per_component = x @ second.weights[1] if model.is_paper else x
    hidden = torch.relu((e @ second.weights[0])[:, None, None] + per_component + second.bias)  # [U, I, M, h]
    b = (hidden @ second.readout).squeeze(3).masked_fill(~present, -torch.inf)  # [U, I, M]
    beta = b.softmax(2).nan_to_num(0)
    content = torch.einsum("uim,imd->uid", beta, x)
    hidden = (e @ first.weights[0])[:, None] + content @ first.weights[1] + first.bias
    if model.is_paper:
        p = model.auxiliary_table
        hidden = hidden + v @ first.weights[2] + p @ first.weights[3]
        values = p.expand(len(e), -1, -1)  # [U, I, d]
    else:
        values = content
    a = (torch.relu(hidden) @ first.readout).squeeze(2)  # [U, I]
    a = a.masked_fill(torch.from_numpy(train.csr.toarray() == 0), -torch.inf)
    alpha = a.softmax(1).nan_to_num(0)
    return e + torch.einsum("ui,uid->ud", alpha, values)


def dense_loss(model: ACF, users: Tensor, batch: Triplets) -> Tensor:
    v = model.item_table
    gaps = (users[batch.users] * (v[batch.positives] - v[batch.negatives])).sum(1)
    squares = sum(weight.square().sum() for name, weight in model.named_parameters() if not name.endswith("_table"))
    squares = squares + model.user_table[batch.users].square().sum()
    for table in [v, model.auxiliary_table] if model.is_paper else [v]:
        squares = squares + table[batch.positives].square().sum() + table[batch.negatives].square().sum()
    total = -torch.log(torch.sigmoid(gaps)).sum() + model.config.regulariser * squares
    return total / len(batch) if model.is_paper else total


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("edges_per_block", [1 << 14, 9])
@pytest.mark.parametrize("modalities", [1, 3])
@pytest.mark.parametrize("variant", ["paper", "official"])
def test_value_and_gradient_are_those_of_the_padded_definition(
    variant: str, modalities: int, edges_per_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acf, "_EDGES_PER_BLOCK", edges_per_block)
    train, features = toy_interactions(), toy_features(modalities)
    features["visual"][3:9] = 0
    model, batch = build(train, features, variant=variant, regulariser=0.3), toy_batch(train)
    users, embeddings = dense_users(model, train, features), model.embed()
    torch.testing.assert_close(embeddings.users, users)
    assert torch.equal(embeddings.items, model.item_table)
    loss, expected = sum(model(batch).values()), dense_loss(model, users, batch)
    torch.testing.assert_close(loss, expected)
    weights = list(model.parameters())
    torch.testing.assert_close(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights))


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_blocks_change_memory_and_nothing_else(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(variant=variant)
    at_once = model.embed().users
    monkeypatch.setattr(acf, "_EDGES_PER_BLOCK", 1)
    torch.testing.assert_close(model.embed().users, at_once)


def test_without_item_attention_a_user_collects_the_mean_of_its_items() -> None:
    train = toy_interactions()
    model = build(train)
    model.item_attention.readout.data.zero_()
    mean = torch.from_numpy(train.csr.toarray()) @ model.auxiliary_table
    mean = mean / torch.from_numpy(train.user_degrees).clamp(min=1)[:, None]
    torch.testing.assert_close(model.embed().users, model.user_table + mean)


def test_without_auxiliary_vectors_it_is_matrix_factorisation_that_still_learns_them() -> None:
    train = toy_interactions()
    model = build(train)
    model.auxiliary_table.data.zero_()
    torch.testing.assert_close(model.embed().users, model.user_table)
    model(toy_batch(train))["bpr"].backward()
    assert model.auxiliary_table.grad.any()


def test_the_official_one_without_projections_is_matrix_factorisation() -> None:
    model = build(variant="official")
    for projection in model.projections:
        projection.data.zero_()
    torch.testing.assert_close(model.embed().users, model.user_table)


def test_a_user_with_one_item_collects_it_whole_and_one_without_any_collects_nothing() -> None:
    model = build(Interactions.from_pairs([0, 1, 1], [2, 0, 1], 3, NUM_ITEMS))
    users = model.embed().users
    torch.testing.assert_close(users[0], model.user_table[0] + model.auxiliary_table[2])
    torch.testing.assert_close(users[2], model.user_table[2])
    assert torch.equal(build().embed().users[ISOLATED_USER], build().user_table[ISOLATED_USER])


def test_with_one_modality_the_component_attention_does_not_matter() -> None:
    train = toy_interactions()
    model = build(train, toy_features(1))
    model(toy_batch(train))["bpr"].backward()
    gradients = [weight.grad for weight in model.component_attention.parameters()]
    assert not any(gradient.any() for gradient in gradients)


def test_a_modality_that_all_items_lack_is_as_if_it_were_not_there() -> None:
    features = toy_features(2)
    alone = build(features={"visual": features["visual"]})
    beside = build(features={"visual": features["visual"], "text": torch.zeros(NUM_ITEMS, 7)})
    weights = beside.state_dict() | alone.state_dict()
    beside.load_state_dict(weights)
    torch.testing.assert_close(beside.embed().users, alone.embed().users)


def test_modalities_may_come_in_any_order() -> None:
    features = toy_features(2)
    here, there = build(features=features), build(features=dict(reversed(features.items())))
    weights = here.state_dict()
    weights["projections.0"], weights["projections.1"] = weights["projections.1"], weights["projections.0"]
    there.load_state_dict(weights)
    torch.testing.assert_close(there.embed().users, here.embed().users)


def test_only_users_and_items_of_the_batch_get_a_gradient_from_its_ranking() -> None:
    train = toy_interactions()
    model, batch = build(train), toy_batch(train)
    model(batch)["bpr"].backward()
    touched = torch.zeros(NUM_USERS, dtype=torch.bool).index_fill(0, batch.users, True)
    assert not model.user_table.grad[~touched].any()
    collected = torch.from_numpy(train.csr.toarray() > 0)[touched].any(0)
    assert torch.equal(model.auxiliary_table.grad.any(1), collected)
