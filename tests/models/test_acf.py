"""ACF against a dense reading of its equations, and the checks of its specification."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from prismrec.models import acf
from prismrec.models.acf import ACF
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

import plain


class TestACF(RecommenderContract):
    model = ACF
    config = {"attention_size": 5}


class TestOfficialACF(RecommenderContract):
    model = ACF
    config = {"attention_size": 5, "variant": "official"}


def build(train: Interactions | None = None, features: Mapping[str, Tensor] | None = None, **settings: object) -> ACF:
    """A model with weights so large that the attentions are far from even."""
    torch.manual_seed(0)
    model = ACF(
        toy_interactions() if train is None else train,
        toy_features(2) if features is None else features,
        ACF.Config(**{"embedding_size": 6, "attention_size": 5, **settings}),
    )
    for weight in model.parameters():
        weight.data.normal_()
    return model


def loss_of(model: ACF, batch: Triplets) -> Tensor:
    return torch.stack(list(model(batch).values())).sum()


def dense_users(model: ACF, train: Interactions, features: Mapping[str, Tensor]) -> Tensor:
    """The final users `[U, d]`, from the equations for all pairs of a user and an item, with masked histories."""
    e, v = model.user_table, model.item_table
    of_items, of_components = model.item_attention, model.component_attention
    is_paper = model.config.variant == "paper"
    components = [matrix.to(P) @ P for matrix, P in zip(features.values(), model.projections, strict=True)]
    x = torch.stack(components, 1)  # [I, M, d]
    is_present = torch.stack([matrix.any(1) for matrix in features.values()], 1)  # [I, M]

    component_terms = x @ of_components.weights[1] if is_paper else x
    user_terms = (e @ of_components.weights[0])[:, None, None]
    hidden = torch.relu(user_terms + component_terms + of_components.bias)  # [U, I, M, h]
    b = (hidden @ of_components.readout).squeeze(3)  # [U, I, M]
    beta = b.masked_fill(~is_present, -torch.inf).softmax(2).nan_to_num(0)
    content = torch.einsum("uim,imd->uid", beta, x)

    terms = (e @ of_items.weights[0])[:, None] + content @ of_items.weights[1] + of_items.bias  # [U, I, h]
    if is_paper:
        p = model.auxiliary_table
        terms = terms + v @ of_items.weights[2] + p @ of_items.weights[3]
    a = (torch.relu(terms) @ of_items.readout).squeeze(2)  # [U, I]
    alpha = a.masked_fill(plain.dense(train) == 0, -torch.inf).softmax(1).nan_to_num(0)
    if is_paper:
        return e + alpha @ p
    return e + torch.einsum("ui,uid->ud", alpha, content)


def dense_loss(model: ACF, users: Tensor, batch: Triplets) -> Tensor:
    """The loss, given the final users."""
    is_paper = model.config.variant == "paper"
    v = model.item_table
    margins = (users[batch.users] * (v[batch.positives] - v[batch.negatives])).sum(1)
    squares = model.user_table[batch.users].square().sum()
    for table in [v, model.auxiliary_table] if is_paper else [v]:
        squares = squares + table[batch.positives].square().sum() + table[batch.negatives].square().sum()
    for name, weight in model.named_parameters():
        if not name.endswith("_table"):
            squares = squares + weight.square().sum()
    total = -torch.log(torch.sigmoid(margins)).sum() + model.config.regulariser * squares
    return total / len(batch) if is_paper else total


@pytest.mark.parametrize("edges_per_block", [1 << 14, 9])
@pytest.mark.parametrize("modalities", [1, 3])
@pytest.mark.parametrize("variant", ["paper", "official"])
def test_embeddings_loss_and_gradients_equal_the_dense_reading(
    float64: None, variant: str, modalities: int, edges_per_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one block of interactions and with several."""
    monkeypatch.setattr(acf, "_EDGES_PER_BLOCK", edges_per_block)
    train, features = toy_interactions(), toy_features(modalities)
    batch = toy_batch(train)
    features["visual"][3:9] = 0  # missing
    model = build(train, features, variant=variant, regulariser=0.3)
    users = dense_users(model, train, features)
    embeddings = model.embed()
    torch.testing.assert_close(embeddings.users, users)
    assert torch.equal(embeddings.items, model.item_table)
    loss = loss_of(model, batch)
    expected = dense_loss(model, users, batch)
    torch.testing.assert_close(loss, expected)
    plain.assert_same_gradients(loss, expected, model.parameters())


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_the_size_of_blocks_does_not_change_the_embeddings(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(variant=variant)
    one_block = model.embed().users
    monkeypatch.setattr(acf, "_EDGES_PER_BLOCK", 1)
    torch.testing.assert_close(model.embed().users, one_block)


def test_without_item_attention_a_user_collects_the_mean_of_its_items() -> None:
    train = toy_interactions()
    model = build(train)
    model.item_attention.readout.data.zero_()
    R = plain.dense(train)
    mean = R @ model.auxiliary_table / R.sum(1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(model.embed().users, model.user_table + mean)


def test_without_auxiliary_vectors_it_is_matrix_factorisation() -> None:
    """The auxiliary vectors still get a gradient."""
    train = toy_interactions()
    model = build(train)
    model.auxiliary_table.data.zero_()
    torch.testing.assert_close(model.embed().users, model.user_table)
    model(toy_batch(train))["bpr"].backward()
    assert model.auxiliary_table.grad.any()


def test_the_official_variant_without_projections_is_matrix_factorisation() -> None:
    model = build(variant="official")
    for projection in model.projections:
        projection.data.zero_()
    torch.testing.assert_close(model.embed().users, model.user_table)


def test_a_user_with_one_item_collects_all_of_it() -> None:
    model = build(Interactions.from_pairs([0, 1, 1], [2, 0, 1], 3, NUM_ITEMS))
    users = model.embed().users
    torch.testing.assert_close(users[0], model.user_table[0] + model.auxiliary_table[2])


def test_a_user_without_items_collects_nothing() -> None:
    model = build()
    assert torch.equal(model.embed().users[ISOLATED_USER], model.user_table[ISOLATED_USER])
    last_user = build(Interactions.from_pairs([0, 1, 1], [2, 0, 1], 3, NUM_ITEMS))
    torch.testing.assert_close(last_user.embed().users[2], last_user.user_table[2])


def test_with_one_modality_the_component_attention_does_not_matter() -> None:
    train = toy_interactions()
    model = build(train, toy_features(1))
    model(toy_batch(train))["bpr"].backward()
    for weight in model.component_attention.parameters():
        assert not weight.grad.any()


def test_a_modality_that_all_items_lack_does_not_matter() -> None:
    features = toy_features(2)
    alone = build(features={"visual": features["visual"]})
    both = build(features={"visual": features["visual"], "text": torch.zeros(NUM_ITEMS, 7)})
    both.load_state_dict(both.state_dict() | alone.state_dict())
    torch.testing.assert_close(both.embed().users, alone.embed().users)


def test_the_order_of_modalities_does_not_matter() -> None:
    features = toy_features(2)
    model = build(features=features)
    reversed_model = build(features=dict(reversed(features.items())))
    weights = model.state_dict()
    weights["projections.0"], weights["projections.1"] = weights["projections.1"], weights["projections.0"]
    reversed_model.load_state_dict(weights)
    torch.testing.assert_close(reversed_model.embed().users, model.embed().users)


def test_only_users_and_histories_of_the_batch_get_a_gradient_from_the_ranking() -> None:
    train = toy_interactions()
    model, batch = build(train), toy_batch(train)
    model(batch)["bpr"].backward()
    in_batch = torch.zeros(NUM_USERS, dtype=torch.bool)
    in_batch[batch.users] = True
    assert not model.user_table.grad[~in_batch].any()
    in_history = plain.dense(train)[in_batch].any(0)
    assert torch.equal(model.auxiliary_table.grad.any(1), in_history)
