"""HCCF and HCCF-torch against a dense reading of their equations, and the checks of their specification."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.errors import ParameterError
from prismrec.models.hccf import HCCF, HCCFTorch
from prismrec.models.lightgcn import LightGCN
from prismrec.testing import NUM_USERS, RecommenderContract, toy_batch, toy_interactions
from prismrec.types import Triplets

import plain


class TestHCCF(RecommenderContract):
    model = HCCF
    config = {"hyperedges": 8}


class TestHCCFTorch(RecommenderContract):
    model = HCCFTorch
    config = {"hyperedges": 8, "negatives": "all"}


MODELS = [HCCF, HCCFTorch]


def build(model: type[HCCF | HCCFTorch], **settings: object) -> HCCF | HCCFTorch:
    torch.manual_seed(0)
    return model(toy_interactions(), {}, model.Config(**{"embedding_size": 6, "hyperedges": 8, **settings}))


def phi(model: HCCF | HCCFTorch, x: Tensor) -> Tensor:
    return torch.maximum(0.5 * x, x) if isinstance(model, HCCF) else x


def dropped(model: HCCF | HCCFTorch, x: Tensor) -> Tensor:
    keep_rate = model.config.keep_rate
    return torch.where(torch.rand_like(x) >= 1 - keep_rate, x / keep_rate, 0)


def dense_spread(model: HCCF | HCCFTorch, layer: int, side: int, hypergraph: Tensor, X: Tensor) -> Tensor:
    """Γ of one side with the hypergraph E W formed."""
    hypergraph = dropped(model, hypergraph)
    messages = phi(model, hypergraph.T @ X)
    if isinstance(model, HCCF):
        for M in model.maps.weight[layer, side]:
            messages = phi(model, M @ messages) + messages
    return phi(model, hypergraph @ messages)


def dense_layers(model: HCCF | HCCFTorch) -> tuple[tuple[Tensor, Tensor], list[tuple[Tensor, Tensor]], list[Tensor]]:
    """The final users and items, and per layer G and Γ of users, then of items; masks are drawn as the model does."""
    R = plain.dense(toy_interactions())
    edges = R.nonzero(as_tuple=True)
    weights = plain.normalised(plain.adjacency(R))[:NUM_USERS, NUM_USERS:][edges]
    users, items = model.user_table, model.item_table
    user_hypergraph, item_hypergraph = users @ model.user_factor, items @ model.item_factor
    final_users, final_items = users, items
    user_views, item_views = [], []
    for layer in range(model.config.layers):
        to_users = torch.zeros_like(R).index_put(edges, dropped(model, weights))
        to_items = torch.zeros_like(R).index_put(edges, dropped(model, weights)).T
        local_users = phi(model, to_users @ items)
        local_items = phi(model, to_items @ users)
        spread_users = dense_spread(model, layer, 0, user_hypergraph, users)
        spread_items = dense_spread(model, layer, 1, item_hypergraph, items)
        residual = 1 if isinstance(model, HCCF) else 0
        users = local_users + spread_users + residual * users
        items = local_items + spread_items + residual * items
        final_users = final_users + users
        final_items = final_items + items
        user_views.append((local_users, spread_users))
        item_views.append((local_items, spread_items))
    return (final_users, final_items), user_views, item_views


def dense_contrast(model: HCCF | HCCFTorch, layer: int, local: Tensor, spread: Tensor, anchors: set[int]) -> Tensor:
    """InfoNCE of the views of one side in one layer, anchor by anchor."""
    if isinstance(model, HCCF):
        candidates = F.normalize(spread, eps=1e-6) @ model.contrast_maps[layer]
        logits = F.normalize(local, eps=1e-6) @ candidates.T
    else:
        logits = F.normalize(local.detach() + 1e-8) @ F.normalize(spread + 1e-8).T
    similarity = logits.div(model.config.temperature).exp()
    among = list(range(len(local)) if model.config.negatives == "all" else anchors)
    terms = torch.stack([(similarity[n, among].sum() / similarity[n, n]).log() for n in anchors])
    return terms.sum() if isinstance(model, HCCF) else terms.mean()


def dense_loss(model: HCCF | HCCFTorch, batch: Triplets) -> Tensor:
    """The whole loss on full matrices."""
    (users, items), user_views, item_views = dense_layers(model)
    margins = (users[batch.users] * (items[batch.positives] - items[batch.negatives])).sum(1)
    user_anchors = set(batch.users.tolist())
    if isinstance(model, HCCF):
        loss = (1 - margins).clamp(min=0).mean()
        item_anchors = set(batch.items.tolist())
    else:
        loss = -margins.sigmoid().log().mean()
        item_anchors = set(batch.positives.tolist())
    for layer in range(model.config.layers):
        loss = loss + model.config.contrast_weight * dense_contrast(model, layer, *user_views[layer], user_anchors)
        loss = loss + model.config.contrast_weight * dense_contrast(model, layer, *item_views[layer], item_anchors)
    weights = (model.user_table, model.item_table, model.user_factor, model.item_factor)
    return loss + model.config.regulariser * sum(weight.square().sum() for weight in weights)


@pytest.mark.parametrize("negatives", ["batch", "all"])
@pytest.mark.parametrize("keep_rate", [0.5, 1.0])
@pytest.mark.parametrize("model_class", MODELS)
def test_loss_and_gradients_equal_the_dense_reading(
    float64: None, model_class: type[HCCF | HCCFTorch], keep_rate: float, negatives: str
) -> None:
    model = build(model_class, keep_rate=keep_rate, negatives=negatives, regulariser=0.01, contrast_weight=0.1)
    batch = toy_batch(toy_interactions())
    torch.manual_seed(1)
    loss = torch.stack(list(model(batch).values())).sum()
    torch.manual_seed(1)
    expected = dense_loss(model, batch)
    torch.testing.assert_close(loss, expected)
    weights = list(model.parameters())
    torch.testing.assert_close(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights))


def test_without_hyperedge_weights_hccf_torch_ranks_as_lightgcn(float64: None) -> None:
    model = build(HCCFTorch, layers=3).eval()
    lightgcn = LightGCN(toy_interactions(), {}, LightGCN.Config(embedding_size=6, layers=3))
    with torch.no_grad():
        model.user_factor.zero_()
        model.item_factor.zero_()
        lightgcn.user_table.copy_(model.user_table)
        lightgcn.item_table.copy_(model.item_table)
    torch.testing.assert_close(model.embed().users, 4 * lightgcn.embed().users)
    torch.testing.assert_close(model.embed().items, 4 * lightgcn.embed().items)


@pytest.mark.parametrize("model_class", MODELS)
def test_without_layers_it_is_matrix_factorisation(model_class: type[HCCF | HCCFTorch]) -> None:
    model = build(model_class, layers=0)
    assert torch.equal(model.embed().users, model.user_table)
    assert torch.equal(model.embed().items, model.item_table)
    assert set(model(toy_batch(toy_interactions()))) == {"ranking", "regulariser"}


@pytest.mark.parametrize("model_class", MODELS)
def test_the_contrast_ignores_order_and_repetition(float64: None, model_class: type[HCCF | HCCFTorch]) -> None:
    model = build(model_class, keep_rate=1)
    batch = toy_batch(toy_interactions())
    order = torch.tensor([3, 0, 0, 7, 1, 2, 4, 5, 6, 6])
    again = Triplets(batch.users[order], batch.positives[order], batch.negatives[order])
    torch.testing.assert_close(model(batch)["contrast"], model(again)["contrast"])


@pytest.mark.parametrize("model_class", MODELS)
def test_more_candidates_make_the_contrast_harder(model_class: type[HCCF | HCCFTorch]) -> None:
    batch = toy_batch(toy_interactions())
    among_batch = build(model_class, keep_rate=1, negatives="batch")(batch)["contrast"]
    among_all = build(model_class, keep_rate=1, negatives="all")(batch)["contrast"]
    assert among_all > among_batch


def test_each_model_has_the_defaults_of_its_program_and_only_its_own_hyperparameters() -> None:
    config = HCCFTorch.Config()
    assert (config.contrast_weight, config.temperature, config.lr_decay) == (0.2, 0.1, 1.0)
    assert (HCCF.Config().contrast_weight, HCCF.Config().temperature, HCCF.Config().lr_decay) == (1e-5, 1.0, 0.96)
    for name, value in (("slope", 0.5), ("maps", 3)):
        with pytest.raises(ParameterError, match=name):
            HCCFTorch.Config(**{name: value})
