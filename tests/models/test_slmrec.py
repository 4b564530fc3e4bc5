from typing import ClassVar

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
    config: ClassVar[dict[str, object]] = {"variant": "mmrec"}


class TestSLMRecMaskedAndDropped(RecommenderContract):
    model = SLMRec
    learning_epochs = 15
    config: ClassVar[dict[str, object]] = {"task": "FD+FM", "variant": "official"}


def build(modalities: int = 2, **settings: object) -> SLMRec:
    torch.manual_seed(0)
    config = SLMRec.Config(**{"embedding_size": 6, "layers": 2, "task_temperature": 0.5, **settings})
    return SLMRec(toy_interactions(), toy_features(modalities), config)


def masks(monkeypatch: pytest.MonkeyPatch, first: int, second: int) -> None:
    """Let the views mask these two channels."""
    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.tensor([first, second, *range(n)][:n]))


def dense_channels(model: SLMRec, without: int | None = None) -> list[Tensor]:
    """H_k `[U + I, d]`; the item inputs of one channel may be zero."""
    square = plain.normalised(plain.adjacency(plain.dense(toy_interactions())))
    inputs = list(model.encoder.inputs().unbind(1))
    if without is not None:
        inputs[without] = torch.zeros_like(inputs[without])
    users = model.encoder.user_table
    return [plain.layer_mean(square, torch.cat([users, C]), model.config.layers) for C in inputs]


def dense_readouts(model: SLMRec, blocks: list[Tensor], batch: Triplets) -> tuple[Tensor, Tensor]:
    """Cosine-ready users and items of the batch."""
    users = model.encoder.user_readout(torch.cat([H[batch.users] for H in blocks], 1))
    items = model.encoder.item_readout(torch.cat([H[NUM_USERS + batch.positives] for H in blocks], 1))
    return users / users.norm(dim=1, keepdim=True), items / items.norm(dim=1, keepdim=True)


def assert_same_with_gradients(model: SLMRec, found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected)
    weights = list(model.parameters())
    here, there = (
        torch.autograd.grad(x, weights, allow_unused=True, materialize_grads=True) for x in (found, expected)
    )
    torch.testing.assert_close(here, there)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("variant", ["paper", "mmrec"])
def test_main_loss_and_alignment_are_those_of_the_dense_definition(modalities: int, variant: str) -> None:
    model, batch = build(modalities, variant=variant), toy_batch(toy_interactions())
    blocks = dense_channels(model)
    expected = plain.in_batch_info_nce(*dense_readouts(model, blocks, batch), 0.2)
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
    views = [dense_readouts(model, dense_channels(model, without=k), batch) for k in masked]
    expected = sum(plain.in_batch_info_nce(*sides, 0.5) for sides in zip(*views, strict=True))
    masks(monkeypatch, *masked)
    assert_same_with_gradients(model, model(batch)[task], expected)


@pytest.mark.usefixtures("float64")
def test_without_dropout_the_views_of_feature_dropout_are_equal() -> None:
    model, batch = build(task="FD", task_weight=1, dropout=0), toy_batch(toy_interactions())
    users, items = dense_readouts(model, dense_channels(model), batch)
    expected = plain.in_batch_info_nce(users, users, 0.5) + plain.in_batch_info_nce(items, items, 0.5)
    assert_same_with_gradients(model, model(batch)["FD"], expected)


@pytest.mark.usefixtures("float64")
def test_feature_dropout_drops_after_each_layer_and_feeds_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = build(task="FD", task_weight=1), toy_batch(toy_interactions())
    square = plain.normalised(plain.adjacency(plain.dense(toy_interactions())))
    factors = []

    def recorded(x: Tensor, p: float, training: bool) -> Tensor:
        assert training
        factors.append((torch.rand_like(x) >= p) / (1 - p))
        return x * factors[-1]

    monkeypatch.setattr(slmrec, "dropout", recorded)
    loss = model(batch)["FD"]
    assert len(factors) == 8  # two views, two layers, two sides
    views = []
    for view in range(2):
        users = model.encoder.user_table.repeat(1, 3)
        total = nodes = torch.cat([users, model.encoder.inputs().flatten(1)])
        for layer in range(2):
            sides = factors[4 * view + 2 * layer :][:2]
            nodes = torch.cat(sides) * (square @ nodes)
            total = total + nodes
        views.append(dense_readouts(model, list((total / 3).split(6, 1)), batch))
    expected = sum(plain.in_batch_info_nce(*sides, 0.5) for sides in zip(*views, strict=True))
    torch.testing.assert_close(loss, expected)


def test_outside_training_nothing_is_dropped() -> None:
    model, batch = build(task="FD"), toy_batch(toy_interactions())
    assert model(batch)["FD"] != model(batch)["FD"]
    model.eval()
    assert torch.equal(model(batch)["FD"], model(batch)["FD"])


def test_the_masked_channels_differ_and_each_is_masked_at_times() -> None:
    seen = set()
    model, batch = build(task="FM"), toy_batch(toy_interactions())
    for _ in range(60):
        seen.add(model(batch)["FM"].item())
    assert len(seen) == 6  # ordered pairs of different channels among three


def test_with_one_modality_the_official_code_masks_it_in_exactly_one_view(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = build(1, task="FM", task_weight=1, layers=0), toy_batch(toy_interactions())
    official = build(1, task="FM", task_weight=1, layers=0, variant="official")
    masks(monkeypatch, 0, 1)
    blocks, masked = dense_channels(model), dense_channels(model, without=1)
    views = dense_readouts(model, masked, batch), dense_readouts(model, blocks, batch)
    expected = sum(plain.in_batch_info_nce(*sides, 0.5) for sides in zip(*views, strict=True))
    torch.testing.assert_close(official(batch)["FM"], expected)
    assert not torch.allclose(model(batch)["FM"], expected)


def test_unmixed_and_mixed_masks_agree_without_propagation(monkeypatch: pytest.MonkeyPatch) -> None:
    masks(monkeypatch, 1, 2)
    batch = toy_batch(toy_interactions())
    for layers, agree in ((0, True), (2, False)):
        models = [build(task="FM", layers=layers, variant=variant) for variant in ("paper", "official")]
        # With no layer below it, the only layer is masked as its own view says.
        assert torch.allclose(*(model(batch)["FM"] for model in models)) == agree


def test_a_single_pair_has_nothing_to_be_told_from() -> None:
    batch = toy_batch(toy_interactions(), 1)
    for task in ("FAC", "FD", "FM", "FD+FM"):
        for term in build(task=task)(batch).values():
            assert abs(term.item()) < 1e-6


def test_without_weight_the_task_is_not_computed_and_its_heads_rest() -> None:
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
    for k, heads in enumerate(zip(model.code_heads, model.modality_heads, strict=True)):
        for offset, head in enumerate(heads):
            golden.fill_linear(head, 10 + 4 * k + 2 * offset)
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
    masks(monkeypatch, 1, 2)
    torch.testing.assert_close(model(golden.BATCH)["FM"].item(), value, rtol=0, atol=1e-8)
