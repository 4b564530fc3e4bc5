"""SLMRec against a dense reading of its equations, golden values and the checks of its specification."""

import pytest
import torch
from torch import Tensor

from prismrec.models import slmrec
from prismrec.models.slmrec import SLMRec
from prismrec.testing import NUM_USERS, RecommenderContract, toy_batch, toy_features, toy_interactions
from prismrec.types import Triplets

import golden
import plain


class TestSLMRec(RecommenderContract):
    model = SLMRec
    learning_epochs = 15


class TestSLMRecMMRec(RecommenderContract):
    model = SLMRec
    learning_epochs = 15
    config = {"variant": "mmrec"}


class TestSLMRecMaskedAndDropped(RecommenderContract):
    model = SLMRec
    learning_epochs = 15
    config = {"task": "FD+FM", "variant": "official"}


def build(modalities: int = 2, **settings: object) -> SLMRec:
    torch.manual_seed(0)
    config = SLMRec.Config(**{"embedding_size": 6, "layers": 2, "task_temperature": 0.5, **settings})
    return SLMRec(toy_interactions(), toy_features(modalities), config)


def mask_channels(monkeypatch: pytest.MonkeyPatch, first: int, second: int) -> None:
    """Make the two views mask these channels."""
    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.tensor([first, second, *range(n)][:n]))


def dense_channels(model: SLMRec, without: int | None = None) -> list[Tensor]:
    """H_k `[U + I, d]` of all channels; `without` is a channel whose item inputs are zero."""
    square = plain.normalised(plain.adjacency(plain.dense(toy_interactions())))
    inputs = list(model.encoder.inputs().unbind(1))
    if without is not None:
        inputs[without] = torch.zeros_like(inputs[without])
    users = model.encoder.user_table
    return [plain.layer_mean(square, torch.cat([users, C]), model.config.layers) for C in inputs]


def dense_readouts(model: SLMRec, blocks: list[Tensor], batch: Triplets) -> tuple[Tensor, Tensor]:
    """The fused users and items of the batch `[B, d]`, rows of length 1."""
    users = model.encoder.user_readout(torch.cat([H[batch.users] for H in blocks], 1))
    items = model.encoder.item_readout(torch.cat([H[NUM_USERS + batch.positives] for H in blocks], 1))
    return users / users.norm(dim=1, keepdim=True), items / items.norm(dim=1, keepdim=True)


def dense_task(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """The contrast of two views of users and of items."""
    user_term = plain.in_batch_info_nce(first[0], second[0], 0.5)
    item_term = plain.in_batch_info_nce(first[1], second[1], 0.5)
    return user_term + item_term


def assert_same_with_gradients(model: SLMRec, found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected)
    weights = list(model.parameters())
    here = torch.autograd.grad(found, weights, allow_unused=True, materialize_grads=True)
    there = torch.autograd.grad(expected, weights, allow_unused=True, materialize_grads=True)
    torch.testing.assert_close(here, there)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("variant", ["paper", "mmrec"])
def test_main_loss_and_alignment_equal_the_dense_reading(modalities: int, variant: str) -> None:
    model, batch = build(modalities, variant=variant), toy_batch(toy_interactions())
    blocks = dense_channels(model)
    unit_users, unit_items = dense_readouts(model, blocks, batch)
    expected = plain.in_batch_info_nce(unit_users, unit_items, 0.2)
    items = [H[NUM_USERS + batch.positives] for H in blocks]
    code = items[0]
    for k in range(modalities):
        if variant == "mmrec" and k == modalities - 1 > 0:
            code = model.extra_head(code)
        code = model.code_heads[k](code)
        expected = expected + 0.1 * plain.in_batch_info_nce(code, model.modality_heads[k](items[k + 1]), 0.5)
    assert_same_with_gradients(model, sum(model(batch).values()), expected)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("task", ["FM", "FD+FM"])
@pytest.mark.parametrize("masked", [(0, 1), (2, 0), (1, 2)])
def test_masking_a_modality_is_propagating_zeros(
    task: str, masked: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = build(task=task, task_weight=1, dropout=0), toy_batch(toy_interactions())
    first = dense_readouts(model, dense_channels(model, without=masked[0]), batch)
    second = dense_readouts(model, dense_channels(model, without=masked[1]), batch)
    expected = dense_task(first, second)
    mask_channels(monkeypatch, *masked)
    assert_same_with_gradients(model, model(batch)[task], expected)


@pytest.mark.usefixtures("float64")
def test_without_dropout_the_views_of_feature_dropout_are_equal() -> None:
    model, batch = build(task="FD", task_weight=1, dropout=0), toy_batch(toy_interactions())
    view = dense_readouts(model, dense_channels(model), batch)
    assert_same_with_gradients(model, model(batch)["FD"], dense_task(view, view))


@pytest.mark.usefixtures("float64")
def test_feature_dropout_acts_after_each_layer_and_on_the_input_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = build(task="FD", task_weight=1), toy_batch(toy_interactions())
    square = plain.normalised(plain.adjacency(plain.dense(toy_interactions())))
    factors = []

    def recorded(x: Tensor, p: float, training: bool) -> Tensor:
        assert training
        factors.append((torch.rand_like(x) >= p) / (1 - p))
        return x * factors[-1]

    monkeypatch.setattr(slmrec, "dropout", recorded)
    loss = model(batch)["FD"]
    assert len(factors) == 8  # two views × two layers × users and items
    views = []
    for view in range(2):
        users = model.encoder.user_table.repeat(1, 3)
        total = nodes = torch.cat([users, model.encoder.inputs().flatten(1)])
        for layer in range(2):
            number = 4 * view + 2 * layer
            kept = torch.cat([factors[number], factors[number + 1]])
            nodes = kept * (square @ nodes)
            total = total + nodes
        views.append(dense_readouts(model, list((total / 3).split(6, 1)), batch))
    torch.testing.assert_close(loss, dense_task(views[0], views[1]))


def test_outside_training_nothing_is_dropped() -> None:
    model, batch = build(task="FD"), toy_batch(toy_interactions())
    assert model(batch)["FD"] != model(batch)["FD"]
    model.eval()
    assert torch.equal(model(batch)["FD"], model(batch)["FD"])


def test_the_views_mask_different_channels_and_every_channel_is_masked() -> None:
    seen = set()
    model, batch = build(task="FM"), toy_batch(toy_interactions())
    for _ in range(60):
        seen.add(model(batch)["FM"].item())
    assert len(seen) == 6  # ordered pairs of two of the three channels


def test_with_one_modality_the_official_code_masks_it_in_exactly_one_view(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = build(1, task="FM", task_weight=1, layers=0), toy_batch(toy_interactions())
    official = build(1, task="FM", task_weight=1, layers=0, variant="official")
    mask_channels(monkeypatch, 0, 1)
    first = dense_readouts(model, dense_channels(model, without=1), batch)
    second = dense_readouts(model, dense_channels(model), batch)
    expected = dense_task(first, second)
    torch.testing.assert_close(official(batch)["FM"], expected)
    assert not torch.allclose(model(batch)["FM"], expected)


@pytest.mark.parametrize(("layers", "agree"), [(0, True), (2, False)])
def test_the_masks_of_the_official_code_differ_from_layer_1_on(
    layers: int, agree: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask_channels(monkeypatch, 1, 2)
    batch = toy_batch(toy_interactions())
    ours = build(task="FM", layers=layers)(batch)["FM"]
    official = build(task="FM", layers=layers, variant="official")(batch)["FM"]
    assert torch.allclose(ours, official) == agree


def test_a_batch_of_one_pair_has_no_loss() -> None:
    batch = toy_batch(toy_interactions(), 1)
    for task in ("FAC", "FD", "FM", "FD+FM"):
        for term in build(task=task)(batch).values():
            assert abs(term.item()) < 1e-6


def test_without_weight_the_task_is_not_computed_and_its_heads_get_no_gradient() -> None:
    model, batch = build(task_weight=0), toy_batch(toy_interactions())
    terms = model(batch)
    assert list(terms) == ["main"]
    terms["main"].backward()
    assert all(weight.grad is None for weight in model.code_heads.parameters())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("variant", "total"), [("paper", 1.870892140), ("mmrec", 1.869879770)])
def test_golden_values_of_the_alignment(variant: str, total: float) -> None:
    config = SLMRec.Config(embedding_size=4, layers=2, task_temperature=0.5, variant=variant)
    model = SLMRec(golden.TRAIN, golden.features(), config)
    golden.fill_channels(model.encoder)
    for k in range(2):
        golden.fill_linear(model.code_heads[k], 10 + 4 * k)
        golden.fill_linear(model.modality_heads[k], 12 + 4 * k)
    if variant == "mmrec":
        golden.fill_linear(model.extra_head, 18)
    embeddings, terms = model.embed(), model(golden.BATCH)
    found = [embeddings.users.sum(), embeddings.items.sum(), embeddings.users[0, 0], embeddings.items[4, -1]]
    expected = [5.696347095, -0.496014090, 0.524541895, 0.077153510, 1.592154622, total]
    found += [terms["main"], terms["main"] + terms["FAC"]]
    torch.testing.assert_close(torch.stack(found), torch.tensor(expected), rtol=0, atol=1e-8)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("variant", "value"), [("paper", 2.501536436), ("official", 2.351865114)])
def test_golden_values_of_masking(variant: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"embedding_size": 4, "layers": 2, "task": "FM", "task_weight": 1, "task_temperature": 0.5}
    model = SLMRec(golden.TRAIN, golden.features(), SLMRec.Config(**settings, variant=variant))
    golden.fill_channels(model.encoder)
    mask_channels(monkeypatch, 1, 2)
    torch.testing.assert_close(model(golden.BATCH)["FM"].item(), value, rtol=0, atol=1e-8)
