import math

import pytest
import torch

from prismrec.models.lightgcn import LightGCN
from prismrec.models.mf_bpr import MFBPR
from prismrec.testing import RecommenderContract, toy_batch, toy_interactions
from prismrec.types import Triplets


class TestMFBPR(RecommenderContract):
    model = MFBPR
    learning = {"regulariser": 0.01}


class TestMFBPRNorms(RecommenderContract):
    model = MFBPR
    config = {"regulariser_form": "norms"}


def build(**settings: object) -> MFBPR:
    torch.manual_seed(0)
    return MFBPR(toy_interactions(), {}, MFBPR.Config(embedding_size=6, **settings))


def total(model: MFBPR, batch: Triplets) -> torch.Tensor:
    return torch.stack(list(model(batch).values())).sum()


@pytest.mark.parametrize("form", ["squares", "norms"])
def test_the_loss_equals_its_formula(float64: None, form: str) -> None:
    batch = toy_batch(toy_interactions())
    model = build(regulariser=0.3, regulariser_form=form)
    u, i, j = model.user_table[batch.users], model.item_table[batch.positives], model.item_table[batch.negatives]
    ranking = -torch.log(torch.sigmoid((u * i).sum(1) - (u * j).sum(1))).mean()
    size = sum(x.norm() ** 2 / 2 if form == "squares" else x.norm() for x in (u, i, j))
    torch.testing.assert_close(total(model, batch), ranking + 0.3 * size / len(batch))


def test_only_rows_of_the_batch_get_a_gradient() -> None:
    batch = toy_batch(toy_interactions())
    model = build(regulariser=0.1)
    total(model, batch).backward()
    assert rows_with_gradient(model.user_table) == set(batch.users.tolist())
    assert rows_with_gradient(model.item_table) == set(batch.items.tolist())


def rows_with_gradient(table: torch.Tensor) -> set[int]:
    return set(table.grad.to_dense().any(1).nonzero().squeeze(1).tolist())


def test_the_loss_of_zero_embeddings_is_ln_2() -> None:
    model = build(regulariser=0.0)
    torch.nn.init.zeros_(model.user_table)
    assert total(model, toy_batch(toy_interactions())).item() == pytest.approx(math.log(2))


def test_swapping_positive_and_negative_adds_the_mean_difference(float64: None) -> None:
    batch = toy_batch(toy_interactions())
    model = build(regulariser=0.0)
    u, i, j = model.user_table[batch.users], model.item_table[batch.positives], model.item_table[batch.negatives]
    swapped = total(model, Triplets(batch.users, batch.negatives, batch.positives))
    torch.testing.assert_close(swapped - total(model, batch), (u * (i - j)).sum(1).mean())


def test_a_rotation_of_the_embeddings_changes_nothing(float64: None) -> None:
    batch, model = toy_batch(toy_interactions()), build(regulariser=0.1)
    before, scores = total(model, batch), model.embed().scores()
    rotation = torch.linalg.qr(torch.randn(6, 6)).Q
    with torch.no_grad():
        for table in (model.user_table, model.item_table):
            table.copy_(table @ rotation)
    torch.testing.assert_close(total(model, batch), before)
    torch.testing.assert_close(model.embed().scores(), scores)


def test_lightgcn_without_layers_is_equal() -> None:
    batch, model = toy_batch(toy_interactions()), build(regulariser=0.1)
    other = LightGCN(toy_interactions(), {}, LightGCN.Config(embedding_size=6, layers=0, regulariser=0.1))
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(total(model, batch), total(other, batch))
    total(model, batch).backward()
    total(other, batch).backward()
    assert model.user_table.grad.to_dense().any()
    torch.testing.assert_close(model.user_table.grad.to_dense(), other.user_table.grad)
    torch.testing.assert_close(model.item_table.grad.to_dense(), other.item_table.grad)
