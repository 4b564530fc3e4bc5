"""LGMRec against a dense reading of its equations, and properties that follow from them."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.errors import ParameterError
from prismrec.experiments.synthetic import random_dataset
from prismrec.models import Recommender
from prismrec.models.lgmrec import LGMRec
from prismrec.models.lightgcn import LightGCN
from prismrec.ops.uniform_dropout import dropout
from prismrec.records import Settings
from prismrec.testing import (
    ISOLATED_ITEM,
    ISOLATED_USER,
    NUM_ITEMS,
    NUM_USERS,
    RecommenderContract,
    toy_batch,
    toy_features,
    toy_interactions,
)
from prismrec.training import fit
from prismrec.types import Embeddings, Interactions, Triplets


class TestLGMRec(RecommenderContract):
    model = LGMRec
    multimodal = True


class TestLGMRecManyHyperedges(RecommenderContract):
    """More hyperedges than dimensions: the contrast works in the space of embeddings."""

    model = LGMRec
    config = {"hyperedges": 8, "hyper_layers": 2, "contrast_weight": 0.01}


class TestLGMRecSharedUserIds(RecommenderContract):
    model = LGMRec
    config = {"shared_user_ids": True, "modal_layers": 1}


class TestLGMRecSampledContrast(RecommenderContract):
    model = LGMRec
    config = {"contrast_candidates": 3, "contrast_weight": 0.01}


def build(train: Interactions, modalities: int = 2, seed: int = 0, **settings: object) -> LGMRec:
    torch.manual_seed(seed)
    config = LGMRec.Config(**{"embedding_size": 6, "batch_size": 8, **settings})
    return LGMRec(train, toy_features(modalities), config)


def embed(model: Recommender) -> Embeddings:
    with torch.no_grad():
        return model.eval().embed()


def dense_adjacency(train: Interactions) -> tuple[Tensor, Tensor]:
    """R and D^-½ A D^-½ as dense matrices."""
    R = torch.zeros(train.num_users, train.num_items)
    R[torch.from_numpy(train.users).long(), torch.from_numpy(train.items).long()] = 1
    A = torch.cat(
        [torch.cat([torch.zeros(len(R), len(R)), R], 1), torch.cat([R.T, torch.zeros(R.shape[1], R.shape[1])], 1)]
    )
    scale = A.sum(1).where(A.sum(1) > 0, torch.inf).rsqrt()
    return R, scale[:, None] * A * scale


def dense_members(model: LGMRec, logits: Tensor) -> Tensor:
    """H̄, with Gumbel noise and dropout in training, drawn in the order of the model."""
    if model.training:
        logits = logits - torch.empty_like(logits).exponential_().log()
    return dropout((logits / model.config.temperature).softmax(-1), 1 - model.config.keep_rate, model.training)


def dense_embeddings(model: LGMRec, train: Interactions) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """E* `[U + I, d]`, and (G_U, G_I) of each modality (Eqs. 2-13)."""
    config, (R, A) = model.config, dense_adjacency(train)
    layers = [torch.cat([model.user_table, model.item_table])]
    for _ in range(config.layers):
        layers.append(A @ layers[-1])
    C = torch.stack(layers).mean(0)
    item_logits = torch.stack([X @ V.T for X, V in zip(model.features, model.hyperedges, strict=True)], 1)  # [I, M, A]
    user_logits = torch.einsum("ui,ima->uma", R, item_logits)
    all_item_members = dense_members(model, item_logits).unbind(1)
    all_user_members = dense_members(model, user_logits).unbind(1)
    total, spreads = C, []
    modalities = zip(model.features, model.projections, all_item_members, all_user_members, strict=True)
    for X, W, item_members, user_members in modalities:
        items = X @ W.T
        users = R @ items / R.sum(1, keepdim=True).clamp(min=1)
        Z = torch.cat([users, items])
        for _ in range(config.modal_layers):
            Z = A @ Z
        total = total + F.normalize(Z)
        G = C[train.num_users :]
        for _ in range(config.hyper_layers):
            messages = item_members.T @ G
            G = item_members @ messages
        spreads.append((user_members @ messages, G))
    gamma = torch.cat([sum(users for users, _ in spreads), sum(items for _, items in spreads)])
    return total + config.alpha * F.normalize(gamma), spreads


def dense_loss(model: LGMRec, train: Interactions, batch: Triplets) -> Tensor:
    config, (E, spreads) = model.config, dense_embeddings(model, train)
    users = E[batch.users]
    positives, negatives = E[train.num_users + batch.positives], E[train.num_users + batch.negatives]
    scores = (users * (positives - negatives)).sum(1)
    norms = users.norm() + positives.norm() + negatives.norm()
    loss = -scores.sigmoid().log().mean() + config.regulariser * norms / len(batch)
    (first_users, first_items), (second_users, second_items) = spreads
    of_users = dense_contrast(first_users, second_users, batch.users, config.temperature)
    of_items = dense_contrast(first_items, second_items, batch.positives, config.temperature)
    return loss + config.contrast_weight * (of_users + of_items)


def dense_contrast(first: Tensor, second: Tensor, anchors: Tensor, temperature: float) -> Tensor:
    """Eq. 12 for one pair of modalities and one kind of nodes."""
    similarity = F.normalize(first)[anchors] @ F.normalize(second).T / temperature
    return F.cross_entropy(similarity, anchors, reduction="sum")


@pytest.mark.parametrize("hyper_layers", [1, 2, 3])
@pytest.mark.parametrize("hyperedges", [1, 4, 8])
@pytest.mark.parametrize("training", [False, True])
def test_loss_and_every_gradient_equal_the_dense_reading(
    float64: None, training: bool, hyperedges: int, hyper_layers: int
) -> None:
    train = toy_interactions()
    batch = toy_batch(train)
    model = build(train, hyperedges=hyperedges, hyper_layers=hyper_layers, contrast_weight=0.1, regulariser=0.1)
    model.train(training)
    torch.manual_seed(1)  # of noise and dropout
    loss = torch.stack(list(model(batch).values())).sum()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    torch.manual_seed(1)
    expected = dense_loss(model, train, batch)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
    for mine, dense in zip(gradients, torch.autograd.grad(expected, list(model.parameters())), strict=True):
        torch.testing.assert_close(mine, dense, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(torch.cat([embed(model).users, embed(model).items]), dense_embeddings(model, train)[0])


class DenseLGMRec(LGMRec):
    """LGMRec with the loss of its dense reading."""

    def __init__(self, train: Interactions, *rest: Any) -> None:
        super().__init__(train, *rest)
        self.train_pairs = train

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        return {"all": dense_loss(self, self.train_pairs, batch)}


def test_five_epochs_have_the_losses_of_the_dense_reading() -> None:
    data = random_dataset(150, 80, 1500, {"image": 12, "text": 5})
    features = {name: torch.from_numpy(matrix) for name, matrix in data.features.items()}
    config = LGMRec.Config(embedding_size=16, batch_size=128, contrast_weight=1e-3)
    curves = []
    for model in (LGMRec, DenseLGMRec):
        torch.manual_seed(0)
        history = fit(
            model(data.train, features, config), data.train, Settings(epochs=5, device="cpu")
        ).progress.history
        curves.append([sum(record.loss.values()) for record in history])
    assert curves[0][-1] < curves[0][0]
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)


def test_without_modal_and_hypergraph_it_is_lightgcn(float64: None) -> None:
    train = toy_interactions()
    model = build(train, modal=False, hypergraph=False, regulariser=0.0)
    other = LightGCN(train, {}, LightGCN.Config(embedding_size=6, layers=2, regulariser=0.0))
    other.load_state_dict({"user_table": model.user_table, "item_table": model.item_table})
    assert torch.equal(embed(model).users, embed(other).users)
    assert torch.equal(embed(model).items, embed(other).items)
    batch = toy_batch(train)
    assert model(batch)["bpr"].item() == pytest.approx(other(batch)["bpr"].item(), rel=1e-12)
    assert "contrast" not in model(batch)


def test_without_modalities_it_is_lightgcn(float64: None) -> None:
    train = toy_interactions()
    model, other = build(train, 0), build(train, 2, modal=False, hypergraph=False)
    other.load_state_dict({"user_table": model.user_table, "item_table": model.item_table}, strict=False)
    assert torch.equal(embed(model).users, embed(other).users)


@pytest.mark.parametrize(
    ("switches", "absent"),
    [
        ({"contrast": False}, {"contrast"}),
        ({"hypergraph": False}, {"contrast"}),
        ({"modal": False}, set()),
        ({"collaborative": False}, set()),
        ({"collaborative": False, "modal": False}, set()),
    ],
)
def test_an_ablation_removes_its_part_only(switches: dict[str, bool], absent: set[str]) -> None:
    train = toy_interactions()
    full, model = build(train), build(train, **switches)
    model.load_state_dict(full.state_dict())
    assert {"bpr", "regulariser", "contrast"} - absent == set(model(toy_batch(train)))
    changed = not torch.equal(embed(full).items, embed(model).items)
    assert changed == (switches != {"contrast": False})


def test_without_local_embeddings_the_user_matrix_has_low_rank() -> None:
    model = build(toy_interactions(), modalities=1, collaborative=False, modal=False, hyperedges=2, embedding_size=12)
    assert torch.linalg.matrix_rank(embed(model).users, rtol=1e-5) <= 2


def test_the_modal_and_global_parts_move_a_node_by_at_most_their_weights() -> None:
    model = build(toy_interactions(), modalities=3, alpha=0.7)
    collaborative = embed(build_like(model, modal=False, hypergraph=False)).items
    assert (embed(model).items - collaborative).norm(dim=1).max() <= 3 + 0.7 + 1e-5


def build_like(model: LGMRec, **switches: bool) -> LGMRec:
    twin = build(toy_interactions(), len(model.features), **switches)
    twin.load_state_dict(model.state_dict())
    return twin


def test_one_hyperedge_makes_all_rows_equal_and_the_contrast_a_constant() -> None:
    train, batch = toy_interactions(), toy_batch(toy_interactions())
    model = build(train, hyperedges=1, keep_rate=1.0, contrast_weight=1.0, collaborative=False, modal=False)
    items = embed(model).items
    torch.testing.assert_close(items, items[:1].expand_as(items))
    model.train()
    expected = len(batch) * (math.log(NUM_USERS) + math.log(NUM_ITEMS))
    assert model(batch)["contrast"].item() == pytest.approx(expected, rel=1e-5)


def test_hyperedges_get_no_gradient_without_global_embeddings_and_contrast() -> None:
    train = toy_interactions()
    model = build(train, alpha=0.0, contrast_weight=0.0)
    torch.stack(list(model(toy_batch(train)).values())).sum().backward()
    assert all(weight.grad is None or not weight.grad.any() for weight in model.hyperedges)


@pytest.mark.parametrize("modalities", [1, 3])
def test_the_contrast_is_the_mean_over_pairs_of_modalities(modalities: int) -> None:
    train = toy_interactions()
    batch = toy_batch(train)
    model = build(train, modalities, contrast_weight=1.0).eval()
    terms = model(batch)
    if modalities == 1:
        assert "contrast" not in terms
        return
    _, spreads = dense_embeddings(model, train)
    total = 0.0
    for first, second in ((0, 1), (0, 2), (1, 2)):
        (first_users, first_items), (second_users, second_items) = spreads[first], spreads[second]
        total += dense_contrast(first_users, second_users, batch.users, 0.2).item()
        total += dense_contrast(first_items, second_items, batch.positives, 0.2).item()
    assert terms["contrast"].item() == pytest.approx(total / 3, rel=1e-4)


def test_an_isolated_node_keeps_a_share_of_its_id_embedding() -> None:
    train = toy_interactions()
    model = build(train, modalities=1, alpha=0.0)
    expected = model.user_table[ISOLATED_USER] / (model.config.layers + 1)
    torch.testing.assert_close(embed(model).users[ISOLATED_USER], expected.detach())
    torch.testing.assert_close(embed(model).items[ISOLATED_ITEM], model.item_table[ISOLATED_ITEM].detach() / 3)


def test_user_ids_reach_the_modal_part_only_when_shared() -> None:
    train = toy_interactions()
    settings = {"collaborative": False, "hypergraph": False, "modal_layers": 0}
    for shared in (False, True):
        model = build(train, shared_user_ids=shared, **settings)
        model(toy_batch(train))["bpr"].backward()
        assert (model.user_table.grad is not None and bool(model.user_table.grad.any())) == shared
    torch.testing.assert_close(embed(model).users, 2 * F.normalize(model.user_table.detach()))


def test_training_has_gumbel_noise_and_evaluation_has_it_only_if_configured() -> None:
    model = build(toy_interactions(), hyperedges=2)
    logits = torch.zeros(20_000, 4)  # [n, M A]
    torch.manual_seed(0)
    members = model.train()._memberships(logits).flatten(0, 1)  # [n, A]
    kept = members[(members > 0).all(1)] * model.config.keep_rate
    noise = (kept[:, 0] / kept[:, 1]).log() * model.config.temperature  # a difference of two Gumbels is logistic
    assert noise.mean().abs() < 0.1
    assert noise.std().item() == pytest.approx(math.pi / math.sqrt(3), rel=0.05)
    torch.testing.assert_close(model.eval()._memberships(logits), torch.full((20_000, 2, 2), 0.5))
    noisy = build(toy_interactions(), eval_noise=True)
    assert not torch.equal(embed(noisy).users, embed(noisy).users)


def test_memberships_of_very_different_logits_are_not_denormal() -> None:
    """Training drives logits apart, and products of denormal numbers take several times as long."""
    model = build(toy_interactions()).eval()
    logits = torch.tensor([[0.0, -19.0, -30.0, 3.0]]) / 0.5
    members = model._memberships(logits.repeat(1, 2))  # [1, M, A]
    assert members[0, :, :3].min() > torch.finfo(torch.float32).tiny
    torch.testing.assert_close(members, torch.tensor([[[0.0, 0.0, 0.0, 1.0]] * 2]))


@pytest.mark.parametrize("candidates", [max(NUM_USERS, NUM_ITEMS), 10_000])
def test_as_many_contrast_candidates_as_nodes_change_nothing(candidates: int) -> None:
    train = toy_interactions()
    losses = []
    for settings in ({}, {"contrast_candidates": candidates}):
        torch.manual_seed(1)
        model = build(train, **settings).train()
        torch.manual_seed(2)
        losses.append(model(toy_batch(train))["contrast"].item())
    assert losses[0] == losses[1]


def test_a_sampled_contrast_depends_on_the_seed_and_is_near_the_exact_one_on_average() -> None:
    train = toy_interactions()
    model = build(train, contrast_weight=1.0, contrast_candidates=4).eval()
    exact = build(train, contrast_weight=1.0).eval()(toy_batch(train))["contrast"].item()

    def contrast(seed: int) -> float:
        torch.manual_seed(seed)
        return model(toy_batch(train))["contrast"].item()

    values = torch.tensor([contrast(seed) for seed in range(60)])
    assert contrast(7) == values[7]
    assert values.std() > 0
    assert values.mean().item() == pytest.approx(exact, rel=0.03)


def test_fewer_than_two_contrast_candidates_are_refused() -> None:
    with pytest.raises(ParameterError, match="contrast_candidates"):
        LGMRec.Config(contrast_candidates=1)
