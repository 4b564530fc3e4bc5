import pytest
import torch
import torch.nn.functional as F

from prismrec.models.hccf import HCCF
from prismrec.models.lightgcn import LightGCN
from prismrec.testing import RecommenderContract, toy_batch, toy_interactions
from prismrec.types import Triplets


class TestHCCF(RecommenderContract):
    model = HCCF
    config = {"hyperedges": 8}


class TestHCCFTorch(RecommenderContract):
    model = HCCF
    config = {"hyperedges": 8, "variant": "torch", "negatives": "all"}


def build(**settings) -> HCCF:
    torch.manual_seed(0)
    return HCCF(toy_interactions(), {}, HCCF.Config(embedding_size=6, hyperedges=8, **settings))


def dense_loss(model: HCCF, batch: Triplets) -> torch.Tensor:
    """The equations on dense matrices, hyperedges formed, masks drawn in the order users, items."""
    train, config, tf = toy_interactions(), model.config, model.config.variant == "tf"
    R = torch.from_numpy(train.csr.toarray()).double()
    edges = R.nonzero(as_tuple=True)
    Rn = torch.where(R > 0, R / (R.sum(1, keepdim=True) * R.sum(0)).sqrt(), 0)

    def dropout(x: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.rand_like(x) >= 1 - config.keep_rate, x / config.keep_rate, 0)

    phi = (lambda x: torch.maximum(0.5 * x, x)) if tf else (lambda x: x)
    X = [model.user_table, model.item_table]
    H = [model.user_table @ model.user_factor, model.item_table @ model.item_factor]
    Z, local, spread = list(X), [], []
    for layer in range(config.layers):
        down, up = (dropout(Rn[edges]) for _ in range(2))
        down, up = (torch.zeros_like(R).index_put(edges, kept) for kept in (down, up))
        G = [phi(down @ X[1]), phi(up.T @ X[0])]
        Gamma = []
        for side in (0, 1):
            Hd = dropout(H[side])
            Y = phi(Hd.T @ X[side])
            for M in model.maps.weight[layer, side]:
                Y = phi(M @ Y) + Y
            Gamma.append(phi(Hd @ Y))
        X = [g + h + (x if tf else 0) for g, h, x in zip(G, Gamma, X, strict=True)]
        Z = [z + x for z, x in zip(Z, X, strict=True)]
        local.append(G)
        spread.append(Gamma)
    x = (Z[0][batch.users] * (Z[1][batch.positives] - Z[1][batch.negatives])).sum(1)
    loss = (1 - x).clamp(min=0).mean() if tf else -x.sigmoid().log().mean()
    item_anchors = {*batch.positives.tolist(), *(batch.negatives.tolist() if tf else [])}
    for side, anchors in enumerate((set(batch.users.tolist()), item_anchors)):
        everyone = range(len(Z[side]))
        for layer in range(config.layers):
            g, h = local[layer][side], spread[layer][side]
            if tf:
                logits = F.normalize(g, eps=1e-6) @ (F.normalize(h, eps=1e-6) @ model.contrast_maps[layer]).T
            else:
                logits = F.normalize(g.detach() + 1e-8) @ F.normalize(h + 1e-8).T
            for n in anchors:
                candidates = list(everyone if config.negatives == "all" else anchors)
                p = logits.div(config.temperature).exp()[n]
                loss = loss - config.contrast_weight * (p[n] / p[candidates].sum()).log() / (1 if tf else len(anchors))
    weights = (model.user_table, model.item_table, model.user_factor, model.item_factor)
    return loss + config.regulariser * sum(w.square().sum() for w in weights)


@pytest.mark.parametrize("negatives", ["batch", "all"])
@pytest.mark.parametrize("keep_rate", [0.5, 1.0])
@pytest.mark.parametrize("variant", ["tf", "torch"])
def test_loss_and_gradients_equal_the_equations_on_dense_matrices(float64, variant, keep_rate, negatives) -> None:
    model = build(variant=variant, keep_rate=keep_rate, negatives=negatives, regulariser=0.01, contrast_weight=0.1)
    batch = toy_batch(toy_interactions())
    torch.manual_seed(1)
    loss = torch.stack(list(model(batch).values())).sum()
    torch.manual_seed(1)
    plain = dense_loss(model, batch)
    torch.testing.assert_close(loss, plain)
    weights = [weight for weight in model.parameters() if weight.numel()]
    for mine, reference in zip(torch.autograd.grad(loss, weights), torch.autograd.grad(plain, weights), strict=True):
        torch.testing.assert_close(mine, reference)


def test_without_hyperedge_weights_it_ranks_as_lightgcn(float64) -> None:
    model = build(variant="torch", layers=3).eval()
    lightgcn = LightGCN(toy_interactions(), {}, LightGCN.Config(embedding_size=6, layers=3))
    with torch.no_grad():
        model.user_factor.zero_()
        model.item_factor.zero_()
        lightgcn.user_table.copy_(model.user_table)
        lightgcn.item_table.copy_(model.item_table)
    torch.testing.assert_close(model.embed().users, 4 * lightgcn.embed().users)
    torch.testing.assert_close(model.embed().items, 4 * lightgcn.embed().items)


def test_without_layers_it_is_matrix_factorisation() -> None:
    model = build(layers=0)
    assert torch.equal(model.embed().users, model.user_table)
    assert set(model(toy_batch(toy_interactions()))) == {"ranking", "regulariser"}


@pytest.mark.parametrize("variant", ["tf", "torch"])
def test_contrast_ignores_order_and_repetition(float64, variant) -> None:
    model = build(variant=variant, keep_rate=1)
    batch = toy_batch(toy_interactions())
    order = torch.tensor([3, 0, 0, 7, 1, 2, 4, 5, 6, 6])
    again = Triplets(batch.users[order], batch.positives[order], batch.negatives[order])
    torch.testing.assert_close(model(batch)["contrast"], model(again)["contrast"])


def test_more_candidates_make_the_contrast_harder() -> None:
    batch = toy_batch(toy_interactions())
    among_batch, among_all = (build(keep_rate=1, negatives=name)(batch)["contrast"] for name in ("batch", "all"))
    assert among_all > among_batch


def test_variant_torch_brings_its_defaults_and_yields_to_explicit_values() -> None:
    config = HCCF.Config(variant="torch", temperature=0.3)
    assert (config.maps, config.slope, config.contrast_weight, config.temperature) == (0, 1.0, 0.2, 0.3)
