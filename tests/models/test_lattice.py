from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.dense_item_graph import dense_backbone, dense_learned_graph, dense_loss, kept_cosines, largest_result
from prismrec.models.lattice import LATTICE
from prismrec.models.lightgcn import LightGCN
from prismrec.records import Settings
from prismrec.testing import NUM_ITEMS, RecommenderContract, toy_batch, toy_features, toy_interactions
from prismrec.training import CheckpointFolder, Sampler, fit
from prismrec.types import Interactions


class TestLATTICE(RecommenderContract):
    model = LATTICE
    config = {"neighbours": 4}
    learning = {"lr_decay": 1.0}


class TestLATTICEOnNGCF(RecommenderContract):
    model = LATTICE
    config = {"neighbours": 4, "backbone": "NGCF", "fuse": "official", "item_layers": 2, "train_features": False}


class TestLATTICEOnMF(RecommenderContract):
    model = LATTICE
    config = {"neighbours": 4, "backbone": "MF", "skip": 1.0}


class TestLATTICEOfFeatures(RecommenderContract):
    model = LATTICE
    config = {"neighbours": 4, "inputs": "features"}


class TestBackboneWithFeatures(RecommenderContract):
    model = LATTICE
    config = {"neighbours": 0, "inputs": "features", "backbone": "MF"}


def build(train: Interactions | None = None, modalities: int = 2, **settings: object) -> LATTICE:
    torch.manual_seed(0)
    values = {"embedding_size": 6, "batch_size": 10, "neighbours": 4, "dropout": 0.0} | settings
    return LATTICE(train or toy_interactions(), toy_features(modalities), LATTICE.Config(**values))


def dense_forward(model: LATTICE, initial: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Users and items from dense `[I, I]` matrices; `initial` are the features before training."""
    config = model.config
    share = model.modality_logits.softmax(0)
    projected = [x @ m.weight.T + m.bias for x, m in zip(model.projections.tables, model.projections.maps, strict=True)]
    frozen = [dense_learned_graph(x, config.neighbours) for x in initial]
    if config.fuse == "paper":
        learned = [dense_learned_graph(x, config.neighbours) for x in projected]
        mixed = sum(
            a * (config.skip * s + (1 - config.skip) * m) for a, s, m in zip(share, frozen, learned, strict=True)
        )
    else:
        raw = sum(a * kept_cosines(x, config.neighbours) for a, x in zip(share, projected, strict=True))
        root = raw.sum(1).rsqrt()
        mixed = config.skip * sum(a * s for a, s in zip(share, frozen, strict=True))
        mixed = mixed + (1 - config.skip) * root[:, None] * raw * root[None]
    latent = model.item_table
    if config.inputs == "features":
        latent = sum(a * x for a, x in zip(share, projected, strict=True))
    for _ in range(config.item_layers):
        latent = mixed @ latent
    users, items = dense_backbone(model)
    return users, items + latent / latent.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("fuse", ["paper", "official"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"backbone": "NGCF", "item_layers": 2},
        {"backbone": "MF", "skip": 0.0},
        {"interaction_graph": "sym", "inputs": "features", "skip": 0.3, "item_layers": 2},
    ],
)
def test_the_first_step_of_an_epoch_equals_the_dense_reading(
    float64: None, fuse: str, settings: dict[str, object]
) -> None:
    train = toy_interactions()
    model = build(train, 3, fuse=fuse, **settings)
    batch = toy_batch(train)
    terms = model(batch)
    sum(terms.values()).backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    expected = dense_loss(*dense_forward(model, [x.double() for x in toy_features(3).values()]), batch, 10)
    expected = {"bpr": expected["bpr"], "regulariser": model.config.regulariser * expected["half_squares"]}
    sum(expected.values()).backward()
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term, rtol=1e-10, atol=1e-12)
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        torch.testing.assert_close(gradients[name], weight.grad, rtol=1e-8, atol=1e-13, msg=name)
        assert weight.grad.any(), name


def test_later_steps_keep_the_graph_without_gradients_of_its_weights(float64: None) -> None:
    train = toy_interactions()
    model = build(train)
    batch = toy_batch(train)
    sum(model(batch).values()).backward()
    model.zero_grad()
    with torch.no_grad():
        kept = dense_forward(model, list(toy_features(2).values()))
        for weight in model.drifting_parameters():
            weight.add_(torch.randn_like(weight))
    later = model(batch)
    torch.testing.assert_close(later["bpr"], dense_loss(*kept, batch, 10)["bpr"])
    sum(later.values()).backward()
    assert all(weight.grad is None for weight in model.drifting_parameters())
    assert model.item_table.grad.any()


def test_evaluation_uses_the_graph_of_the_current_weights_and_keeps_that_of_the_epoch(float64: None) -> None:
    train = toy_interactions()
    model = build(train)
    before = model(toy_batch(train))["bpr"]
    with torch.no_grad():
        for weight in model.drifting_parameters():
            weight.add_(torch.randn_like(weight))
        model.eval()
        shown = model.embed()
        expected = dense_forward(model, [x.double() for x in toy_features(2).values()])
    torch.testing.assert_close(shown.items, expected[1])
    model.train()
    torch.testing.assert_close(model(toy_batch(train))["bpr"], before)
    model.start_epoch(1, torch.Generator())
    assert (model(toy_batch(train))["bpr"] - before).abs() > 1e-9


@pytest.mark.parametrize("backbone", ["MF", "NGCF", "LightGCN"])
@pytest.mark.parametrize("fuse", ["paper", "official"])
def test_with_one_neighbour_the_graph_is_the_identity(backbone: str, fuse: str) -> None:
    one = build(neighbours=1, backbone=backbone, fuse=fuse, item_layers=3).eval()
    none = build(neighbours=0, backbone=backbone, fuse=fuse, item_layers=3).eval()
    none.load_state_dict(one.state_dict(), strict=False)
    torch.testing.assert_close(one.embed().users, none.embed().users)
    torch.testing.assert_close(one.embed().items, none.embed().items + F.normalize(one.item_table, dim=1))


def test_without_neighbours_it_is_its_backbone() -> None:
    model = build(neighbours=0, interaction_graph="sym", layers=3)
    lightgcn = LightGCN(toy_interactions(), {}, LightGCN.Config(embedding_size=6))
    lightgcn.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(model.embed().users, lightgcn.embed().users)
    torch.testing.assert_close(model.embed().items, lightgcn.embed().items)
    factors = build(neighbours=0, backbone="MF")
    assert torch.equal(factors.embed().items, factors.item_table)


def test_the_item_graph_adds_a_vector_of_length_one() -> None:
    model = build().eval()
    added = model.embed().items - model.backbone(model.user_table, model.item_table)[1]
    torch.testing.assert_close(added.norm(dim=1), torch.ones(NUM_ITEMS))


def test_with_zero_projections_it_is_its_backbone() -> None:
    model = build(neighbours=0, inputs="features").eval()
    backbone = build(neighbours=0, inputs="ids").eval()
    backbone.load_state_dict(model.state_dict(), strict=False)
    for parameter in model.projections.maps.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(model.embed().items, backbone.embed().items)


@pytest.mark.parametrize("settings", [{"skip": 1.0}, {"modalities": 1}])
def test_both_fusions_are_equal_without_learned_graphs_or_with_one_modality(
    settings: dict[str, object],
) -> None:
    paper, official = build(fuse="paper", **settings).eval(), build(fuse="official", **settings).eval()
    torch.testing.assert_close(paper.embed().items, official.embed().items)


def test_two_copies_of_a_modality_equal_one() -> None:
    train, (visual, *_) = toy_interactions(), toy_features(1).values()
    config = LATTICE.Config(embedding_size=6, neighbours=4, skip=1.0)
    once = LATTICE(train, {"a": visual}, config).eval()
    twice = LATTICE(train, {"a": visual, "b": visual}, config).eval()
    twice.load_state_dict(once.state_dict() | {"modality_logits": torch.tensor([0.3, -1.2])})
    torch.testing.assert_close(once.embed().items, twice.embed().items)


def test_with_frozen_graphs_only_there_are_no_projections() -> None:
    model = build(skip=1.0)
    assert model.projections is None
    assert {name for name, _ in model.named_parameters()} == {"user_table", "item_table", "modality_logits"}


def test_training_does_not_change_the_features_of_the_caller() -> None:
    train, features = toy_interactions(), toy_features(2)
    model = LATTICE(train, features, LATTICE.Config(embedding_size=6, neighbours=4, learning_rate=0.1))
    fit(model, train, Settings(epochs=1, device="cpu"))
    assert not torch.equal(model.projections.tables[0], features["visual"])
    assert torch.equal(features["visual"], toy_features(1)["visual"])


def with_explicit_zeros(model: LATTICE, train: Interactions, epochs: int) -> None:
    """Training in the way of PyTorch 1.5, which zeroes gradients and does not drop them; the batches of the trainer."""
    config = model.config
    optimizer = torch.optim.Adam(model.parameters())
    sampler = Sampler(train, config.sampler, config.batch_size, torch.device("cpu"))
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = config.learning_rate * config.lr_decay ** (epoch / config.lr_decay_epochs)
        seeds = np.random.SeedSequence([0, epoch]).generate_state(3, np.uint64).tolist()
        model.train()
        model.start_epoch(epoch, torch.Generator())
        for batch in sampler.epoch(torch.Generator().manual_seed(seeds[2] >> 1)):
            optimizer.zero_grad(set_to_none=False)
            sum(model(batch).values()).backward()
            optimizer.step()


@pytest.mark.parametrize("graph_updates", ["momentum", "lazy"])
def test_the_weights_of_the_graph_move_by_momentum_like_with_gradients_of_zero(
    float64: None, graph_updates: str
) -> None:
    train = toy_interactions()
    settings = {"learning_rate": 0.01, "graph_updates": graph_updates}
    ours, theirs, start = build(train, **settings), build(train, **settings), build(train)
    fit(ours, train, Settings(epochs=4, device="cpu"))
    with_explicit_zeros(theirs, train, 4)
    weights = zip(ours.parameters(), theirs.parameters(), strict=True)
    difference = max((a - b).abs().max().item() for a, b in weights)
    moved = (theirs.projections.tables[0] - start.projections.tables[0]).abs().max()
    assert moved > 0.05
    assert difference < 1e-8 if graph_updates == "momentum" else difference > 0.01


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    train = toy_interactions()

    def stop(embeddings: object) -> dict[str, float]:
        raise KeyboardInterrupt

    straight = fit(build(train, learning_rate=0.01), train, Settings(epochs=5, device="cpu"))
    with pytest.raises(KeyboardInterrupt):
        fit(
            build(train, learning_rate=0.01),
            train,
            Settings(epochs=5, validate_every=3, device="cpu"),
            stop,
            checkpoints=CheckpointFolder(tmp_path),
        )
    assert CheckpointFolder(tmp_path).load() is not None
    resumed = fit(
        build(train, learning_rate=0.01),
        train,
        Settings(epochs=5, device="cpu"),
        checkpoints=CheckpointFolder(tmp_path),
    )
    assert all(torch.equal(resumed.weights[name], weight) for name, weight in straight.weights.items())


def test_no_item_by_item_matrix_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prismrec.graph.knn._BLOCK_ENTRIES", 5000)
    monkeypatch.setattr("prismrec.graph.knn._LEAST_ROWS", 1)
    train, config = toy_interactions(items=200), LATTICE.Config(embedding_size=6, neighbours=3)
    assert largest_result(lambda: LATTICE(train, toy_features(2, 200), config), train) < 200 * 200 / 4
