import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.dense_item_graph import dense_backbone, dense_learned_graph, dense_loss, largest_result
from prismrec.models.lattice import LATTICE
from prismrec.models.micro import MICRO, fusion_contrast
from prismrec.ops import candidates
from prismrec.testing import NUM_ITEMS, RecommenderContract, toy_batch, toy_features, toy_interactions

import plain


class TestMICRO(RecommenderContract):
    model = MICRO
    config = {"neighbours": 4}
    learning = {"lr_decay": 1.0}


class TestMICROOfFeatures(RecommenderContract):
    model = MICRO
    config = {"neighbours": 4, "inputs": "features", "backbone": "NGCF", "train_features": False}


def build(modalities: int = 2, **settings: object) -> MICRO:
    torch.manual_seed(0)
    values = {"embedding_size": 6, "batch_size": 10, "neighbours": 4, "dropout": 0.0} | settings
    return MICRO(toy_interactions(), toy_features(modalities), MICRO.Config(**values))


def dense_contrast(view: Tensor, fused: Tensor, temperature: float) -> Tensor:
    """In the way of the official code: the similarity of an anchor to itself is subtracted from the sum."""
    view = view / view.norm(dim=1, keepdim=True)
    fused = fused / fused.norm(dim=1, keepdim=True)
    within, between = (view @ view.T / temperature).exp(), (view @ fused.T / temperature).exp()
    return -(between.diagonal() / (within.sum(1) + between.sum(1) - within.diagonal())).log().mean()


def dense_terms(model: MICRO, initial: list[Tensor]) -> dict[str, Tensor]:
    config, views = model.config, []
    for x, table, linear in zip(initial, model.projections.tables, model.projections.maps, strict=True):
        projected = table @ linear.weight.T + linear.bias
        graph = config.skip * dense_learned_graph(x, config.neighbours)
        graph = graph + (1 - config.skip) * dense_learned_graph(projected, config.neighbours)
        view = model.item_table if config.inputs == "ids" else projected
        for _ in range(config.item_layers):
            view = graph @ view
        views.append(view)
    fused = views[0]
    if len(views) > 1:
        (linear,) = model.fusion.maps
        scores = [torch.tanh(view @ linear.weight.T + model.fusion.bias) @ model.fusion.query for view in views]
        alpha = torch.stack(scores).softmax(0)
        fused = sum(a[:, None] * view for a, view in zip(alpha, views, strict=True))
    users, items = dense_backbone(model)
    terms = dense_loss(users, items + fused / fused.norm(dim=1, keepdim=True), toy_batch(toy_interactions()), 10)
    return {
        "bpr": terms["bpr"],
        "regulariser": config.regulariser * terms["half_squares"],
        "contrast": config.contrast_weight * sum(dense_contrast(view, fused, config.temperature) for view in views),
    }


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("settings", [{}, {"backbone": "NGCF", "item_layers": 2, "inputs": "features", "skip": 0.3}])
def test_the_first_step_of_an_epoch_equals_the_dense_reading(
    float64: None, modalities: int, settings: dict[str, object]
) -> None:
    model = build(modalities, contrast_weight=0.5, **settings)
    terms = model(toy_batch(toy_interactions()))
    sum(terms.values()).backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    expected = dense_terms(model, [x.double() for x in toy_features(modalities).values()])
    sum(expected.values()).backward()
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term, rtol=1e-10, atol=1e-12)
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        torch.testing.assert_close(gradients[name], weight.grad, rtol=1e-8, atol=1e-13, msg=name)
        assert weight.grad.any(), name


@pytest.mark.parametrize("entries", [1, 100, 1 << 21])
def test_the_contrast_equals_the_dense_one_for_every_block_size(
    float64: None, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "_BLOCK_ENTRIES", entries)
    monkeypatch.setattr(candidates, "_LEAST_ANCHORS", 1)
    view, fused = plain.random_rows(13, 4), plain.random_rows(13, 4, seed=1)
    plain.assert_same(fusion_contrast(view, fused, 0.2), dense_contrast(view, fused, 0.2), view, fused)


def test_the_contrast_of_orthogonal_items_has_its_known_value() -> None:
    expected = math.log(1 + 2 * (5 - 1) * math.exp(-1 / 0.5))
    assert fusion_contrast(torch.eye(5), 3 * torch.eye(5), 0.5).item() == pytest.approx(expected)


def test_the_contrast_of_a_single_item_is_zero() -> None:
    assert fusion_contrast(torch.randn(1, 4), torch.randn(1, 4), 0.5).item() == pytest.approx(0, abs=1e-6)


def test_later_steps_keep_the_graphs_without_gradients_of_their_weights() -> None:
    model, batch = build(), toy_batch(toy_interactions())
    first = model(batch)
    sum(first.values()).backward()
    model.zero_grad()
    with torch.no_grad():
        for weight in model.drifting_parameters():
            weight.add_(torch.randn_like(weight))
    later = model(batch)
    sum(later.values()).backward()
    assert {k: v.item() for k, v in later.items()} == pytest.approx({k: v.item() for k, v in first.items()})
    assert all(weight.grad is None for weight in model.drifting_parameters())
    assert all(weight.grad.any() for weight in (model.item_table, model.fusion.query))


def test_with_one_modality_it_is_lattice_with_a_contrast(float64: None) -> None:
    batch, shared = toy_batch(toy_interactions()), {"embedding_size": 6, "batch_size": 10, "neighbours": 4}
    micro = build(1)
    lattice = LATTICE(toy_interactions(), toy_features(1), LATTICE.Config(**shared))
    lattice.load_state_dict(micro.state_dict(), strict=False)
    ours, theirs = micro(batch), lattice(batch)
    torch.testing.assert_close(ours["bpr"], theirs["bpr"])
    torch.testing.assert_close(ours["regulariser"], theirs["regulariser"])
    latent = lattice._latent(slice(None))
    torch.testing.assert_close(ours["contrast"], 0.03 * fusion_contrast(latent, latent, 0.5))


def test_with_one_neighbour_every_view_is_the_id_table() -> None:
    model = build(neighbours=1, item_layers=3)
    items = model._latent_items()
    for view in (*items.views, items.fused):
        torch.testing.assert_close(view, model.item_table)


def test_without_a_query_the_fusion_is_the_mean() -> None:
    model = build(3)
    torch.nn.init.zeros_(model.fusion.query)
    items = model._latent_items()
    torch.testing.assert_close(items.fused, torch.stack(list(items.views)).mean(0))


def test_frozen_graphs_need_no_projections_and_a_weight_of_zero_removes_the_contrast() -> None:
    model = build(skip=1.0, contrast_weight=0.0)
    assert model.projections is None
    assert model(toy_batch(toy_interactions())).keys() == {"bpr", "regulariser"}


def test_the_item_graphs_add_a_vector_of_length_one() -> None:
    model = build().eval()
    added = model.embed().items - model.backbone(model.user_table, model.item_table)[1]
    torch.testing.assert_close(added.norm(dim=1), torch.ones(NUM_ITEMS))
    torch.testing.assert_close(added, F.normalize(added, dim=1))


def test_no_item_by_item_matrix_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prismrec.graph.knn._BLOCK_ENTRIES", 5000)
    monkeypatch.setattr("prismrec.graph.knn._LEAST_ROWS", 1)
    monkeypatch.setattr(candidates, "_BLOCK_ENTRIES", 5000)
    monkeypatch.setattr(candidates, "_LEAST_ANCHORS", 1)
    monkeypatch.setattr("prismrec.ops._kernels._CONTRAST_PARTS", 1)
    train, config = toy_interactions(items=200), MICRO.Config(embedding_size=6, neighbours=3)
    assert largest_result(lambda: MICRO(train, toy_features(2, 200), config), train) < 200 * 200 / 4
