"""What every model must pass. A model's test is `class TestX(RecommenderContract): name = "X"` and little else."""

import random
from collections.abc import Mapping
from dataclasses import astuple
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from prismrec import kernels
from prismrec.evaluation import evaluate
from prismrec.graph import SparseMatrix
from prismrec.graph.sparse import _SampledProduct
from prismrec.models import REGISTRY, LightGCN, Recommender
from prismrec.nn.item_graph import OncePerEpoch
from prismrec.training import Settings, fit
from prismrec.types import Embeddings, Interactions, Triplets

NUM_USERS, NUM_ITEMS = 23, 17
"""No two of U, I, U + I, the widths and the embedding size are equal: a swapped axis cannot pass."""
ISOLATED_USER, ISOLATED_ITEM = 5, 11
WIDTHS = {"visual": 9, "text": 7, "sound": 5}


def toy_interactions(seed: int = 0, users: int = NUM_USERS, items: int = NUM_ITEMS) -> Interactions:
    """About four items per user; one user and one item without any."""
    rng = np.random.default_rng(seed)
    pairs = rng.random((users, items)) < 4 / items
    pairs[ISOLATED_USER], pairs[:, ISOLATED_ITEM] = False, False
    pairs[0, 0] = True
    return Interactions.from_pairs(*np.nonzero(pairs), users, items)


def toy_features(modalities: int, items: int = NUM_ITEMS) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(items, WIDTHS[name], generator=generator) for name in list(WIDTHS)[:modalities]}


def toy_batch(train: Interactions, size: int = 8) -> Triplets:
    """Repeated users and items included."""
    rng = np.random.default_rng(2)
    pairs = rng.integers(0, len(train), size)
    users = train.users[pairs].astype(np.int64)
    negatives = [rng.choice(np.setdiff1d(np.arange(train.num_items), train.items_of(user))) for user in users]
    columns = users, train.items[pairs].astype(np.int64), np.array(negatives, dtype=np.int64)
    return Triplets(*(torch.from_numpy(column) for column in columns))


def grouped_taste(seed: int) -> tuple[Interactions, Interactions, dict[str, Tensor]]:
    """120 users who each like one of 6 kinds of 90 items, few clicks each; the vectors tell the kind."""
    rng = np.random.default_rng(seed)
    kinds, tastes = np.arange(90) % 6, np.arange(120) % 6
    train, test = [], []
    for user, taste in enumerate(tastes):
        liked = rng.permutation(np.flatnonzero(kinds == taste))
        train += [(user, item) for item in liked[:4]]
        test += [(user, item) for item in liked[4:8]]
    features = {
        name: torch.from_numpy((np.eye(6)[kinds] + 0.3 * rng.standard_normal((90, 6))).astype(np.float32))
        for name in ("visual", "text")
    }
    return (*(Interactions.from_pairs(*np.array(pairs).T, 120, 90) for pairs in (train, test)), features)


def vector_taste(seed: int, *, informative: bool) -> tuple[Interactions, Interactions, dict[str, Tensor]]:
    """80 users with a direction each, who like the 12 of 100 items nearest to it; 4 clicks to learn from, 8 to find.

    Clicks alone say little, the items' vectors nearly all; or they are dealt out anew and say nothing.
    """
    rng = np.random.default_rng(seed)
    items, tastes = rng.standard_normal((100, 6)), rng.standard_normal((80, 6))
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    liked = rng.permuted(np.argsort(-tastes @ items.T, axis=1)[:, :12], axis=1)
    told = items if informative else rng.permutation(items)
    features = {
        name: torch.from_numpy((told + 0.1 * rng.standard_normal(told.shape)).astype(np.float32))
        for name in ("visual", "text")
    }
    parts = (
        Interactions.from_pairs(np.repeat(np.arange(80), part.shape[1]), part.ravel(), 80, 100)
        for part in (liked[:, :4], liked[:, 4:])
    )
    return (*parts, features)


@cache
def lightgcn_on_vector_taste(seed: int) -> float:
    """What the clicks alone are worth to LightGCN: recall@8."""
    train, test, _ = vector_taste(seed, informative=True)
    torch.manual_seed(0)
    config = LightGCN.Config(embedding_size=16, batch_size=64, learning_rate=0.01)
    return recall_at_8(LightGCN(train, {}, config), train, test, epochs=40)


def recall_at_8(model: Recommender, train: Interactions, test: Interactions, epochs: int) -> float:
    trained = fit(model, train, Settings(epochs=epochs, device="cpu"))
    return evaluate(trained.embeddings, test, mask=[train], cutoffs=[8])["recall@8"]


def shape_of_product(matrix: SparseMatrix, values: Tensor, t_values: Tensor, x: Tensor, transposed: bool) -> Tensor:
    return x.new_empty(matrix.shape[1 if transposed else 0], x.shape[1])


def shape_of_sampled_product(ctx: Any, left: Tensor, right: Tensor, matrix: SparseMatrix) -> Tensor:
    ctx.save_for_backward(left, right)
    ctx.matrix = matrix
    return left.new_empty(len(matrix.indices))


class RecommenderContract:
    """The promises of `Recommender`, checked on a toy for one model and one config."""

    name: ClassVar[str]
    config: ClassVar[dict[str, object]] = {}
    """Settings that suit the toy; `embedding_size` 6 and `batch_size` 8 are set already."""
    learning: ClassVar[dict[str, object]] = {}
    """Settings, beyond `config`, with which the model learns the grouped taste."""
    learning_epochs: ClassVar[int] = 40
    multimodal: ClassVar[bool] = False
    """Whether vectors that decide the clicks must lift it above LightGCN."""

    def build(
        self,
        train: Interactions | None = None,
        features: Mapping[str, Tensor] | None = None,
        seed: int = 0,
        **settings: object,
    ) -> Recommender:
        model = REGISTRY[self.name]
        train = train or toy_interactions()
        torch.manual_seed(seed)
        values = {"embedding_size": 6, "batch_size": 8, **self.config, **settings}
        return model(train, toy_features(2) if features is None else features, model.Config(**values))

    def eval_embeddings(self, model: Recommender) -> Embeddings:
        model.eval()
        with torch.no_grad():
            return model.embed()

    def step(self, model: Recommender, batch: Triplets, epoch: int = 0) -> dict[str, Tensor]:
        """One training step as the trainer does it; gradients are left in place."""
        torch.manual_seed(3)
        model.train()
        model.zero_grad()
        model.start_epoch(epoch, torch.Generator().manual_seed(4))
        terms = model.loss(batch)
        if terms:
            torch.stack(list(terms.values())).sum().backward()
        return terms

    @pytest.mark.usefixtures("float64")  # Adam makes steps of nothing but the rounding of a gradient of zero
    def test_it_learns_the_same_with_the_compiled_kernels_and_without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        (compiled, _), (plain, _) = self.trained_with_kernels_and_without(monkeypatch)
        torch.testing.assert_close(compiled.state_dict(), plain.state_dict(), rtol=1e-5, atol=1e-8)

    def test_its_losses_are_the_same_with_the_compiled_kernels_and_without(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (_, compiled), (_, plain) = self.trained_with_kernels_and_without(monkeypatch)
        for found, expected in zip(compiled, plain, strict=True):
            assert found == pytest.approx(expected, rel=1e-4)

    def trained_with_kernels_and_without(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> list[tuple[Recommender, list[dict[str, float]]]]:
        """The model after two epochs and the losses of both, with the kernels and without."""
        if not kernels.usable(torch.ones(1)):
            pytest.skip("the kernels are not built here; tests/kernels fails if they should be")
        trained = []
        for library in (kernels._library, None):
            monkeypatch.setattr(kernels, "_library", library)
            model = self.build()
            progress = fit(model, toy_interactions(), Settings(epochs=2, device="cpu")).progress
            trained.append((model, [dict(record.loss) for record in progress.history]))
        return trained

    def test_a_step_never_makes_the_host_wait_for_a_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On PyTorch's "meta" device tensors have shapes and no numbers: whatever asks for a number fails.

        So does what is written for a CPU alone. Sparse products, which that device lacks, are told their shapes. What
        the host drew, a repeated step would not draw again.
        """
        if not REGISTRY[self.name].repeats_steps:
            pytest.skip("its class says what the host has to know")
        monkeypatch.setattr(SparseMatrix, "_product", shape_of_product)
        monkeypatch.setattr(SparseMatrix, "add_product", lambda _, base, *args, **kwargs: torch.empty_like(base))
        monkeypatch.setattr(_SampledProduct, "forward", shape_of_sampled_product)
        model = self.build()
        model.train()
        model.start_epoch(0, torch.Generator().manual_seed(4))
        self.to_meta(model)
        batch = Triplets(*(x.to("meta") for x in astuple(toy_batch(toy_interactions()))))
        before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
        terms = model.loss(batch)
        if terms:
            torch.stack(list(terms.values())).sum().backward()
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1:] == (random.getstate(), str(np.random.get_state()))

    def to_meta(self, model: Recommender) -> None:
        """The model as it is after the first step of an epoch, which may make the host wait."""
        graphs = getattr(model, "graphs", None)
        if isinstance(graphs, OncePerEpoch) and model.loss(toy_batch(toy_interactions())) and graphs._constant:
            graphs._constant = [graph.to("meta") for graph in graphs._constant]  # no submodules
        model.to("meta")

    @pytest.mark.parametrize("modalities", [1, 2, 3])
    def test_embeddings_and_gradients_are_finite_with_any_number_of_modalities(self, modalities: int) -> None:
        train = toy_interactions()
        model = self.build(train, toy_features(modalities))
        terms = self.step(model, toy_batch(train))
        assert all(term.ndim == 0 and term.isfinite() for term in terms.values())
        assert all(weight.grad is None or weight.grad.to_dense().isfinite().all() for weight in model.parameters())
        embeddings = self.eval_embeddings(model)
        assert embeddings.users.shape[0] == NUM_USERS
        assert embeddings.items.shape == (NUM_ITEMS, embeddings.users.shape[1])
        assert embeddings.users.dtype == embeddings.items.dtype == torch.float32
        assert embeddings.users.isfinite().all()
        assert embeddings.items.isfinite().all()

    def test_without_modalities_it_works_or_says_what_it_needs(self) -> None:
        if REGISTRY[self.name].min_modalities:
            with pytest.raises(ValueError, match="modality"):
                self.build(features={})
        else:
            assert self.eval_embeddings(self.build(features={})).users.isfinite().all()

    def test_two_evaluations_are_bit_identical(self) -> None:
        train = toy_interactions()
        model = self.build(train)
        self.step(model, toy_batch(train))
        first, second = self.eval_embeddings(model), self.eval_embeddings(model)
        assert torch.equal(first.users, second.users)
        assert torch.equal(first.items, second.items)

    def test_evaluation_between_two_steps_does_not_change_training(self) -> None:
        train, losses = toy_interactions(), []
        for evaluates in (False, True):
            model = self.build(train)
            self.step(model, toy_batch(train))
            if evaluates:
                self.eval_embeddings(model)
            torch.manual_seed(5)
            model.train()
            losses.append({name: term.item() for name, term in model.loss(toy_batch(train)).items()})
        assert losses[0] == losses[1]

    def test_same_seed_same_loss(self) -> None:
        train = toy_interactions()
        first, second = (self.step(self.build(train), toy_batch(train)) for _ in range(2))
        assert {k: v.item() for k, v in first.items()} == {k: v.item() for k, v in second.items()}

    def test_relabelling_users_and_items_permutes_the_result(self) -> None:
        train, features = toy_interactions(), toy_features(2)
        rng = np.random.default_rng(6)
        users, items = rng.permutation(NUM_USERS), rng.permutation(NUM_ITEMS)  # new number of each old one
        relabelled = Interactions.from_pairs(users[train.users], items[train.items], NUM_USERS, NUM_ITEMS)
        back_users, back_items = (torch.from_numpy(np.argsort(new)) for new in (users, items))
        model = self.build(train, features)
        twin = self.build(relabelled, {name: matrix[back_items] for name, matrix in features.items()}, seed=7)
        orders = {
            NUM_USERS: back_users,
            NUM_ITEMS: back_items,
            NUM_USERS + NUM_ITEMS: torch.cat([back_users, NUM_USERS + back_items]),
        }
        state = {
            name: tensor[orders[len(tensor)]] if tensor.ndim and len(tensor) in orders else tensor
            for name, tensor in model.state_dict().items()
        }
        twin.load_state_dict(state)
        here, there = self.eval_embeddings(model), self.eval_embeddings(twin)
        torch.testing.assert_close(there.users, here.users[back_users], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(there.items, here.items[back_items], rtol=1e-4, atol=1e-5)

    def test_a_modality_of_width_one_and_a_batch_of_one_work(self) -> None:
        train = toy_interactions()
        model = self.build(train, {"price": torch.linspace(-1, 1, NUM_ITEMS)[:, None]})
        terms = self.step(model, toy_batch(train, 1))
        assert all(term.isfinite() for term in terms.values())
        assert all(weight.grad is None or weight.grad.to_dense().isfinite().all() for weight in model.parameters())

    def test_a_zero_feature_row_does_no_harm(self) -> None:
        train, features = toy_interactions(), toy_features(2)
        for matrix in features.values():
            matrix[3] = 0
        model = self.build(train, features)
        self.step(model, toy_batch(train))
        assert all(weight.grad is None or weight.grad.to_dense().isfinite().all() for weight in model.parameters())
        assert self.eval_embeddings(model).items.isfinite().all()

    def test_saved_and_loaded_it_gives_the_same_scores(self) -> None:
        train = toy_interactions()
        model = self.build(train)
        self.step(model, toy_batch(train))
        weights = load(save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}))
        twin = self.build(train, seed=8)
        twin.load_state_dict(weights)
        assert torch.equal(self.eval_embeddings(model).scores(), self.eval_embeddings(twin).scores())

    def test_bfloat16_features_change_embeddings_and_loss_by_their_rounding_only_or_are_refused(self) -> None:
        train, features = toy_interactions(), toy_features(2)
        rounded_features = {name: matrix.bfloat16() for name, matrix in features.items()}
        if not REGISTRY[self.name].bf16_features:
            with pytest.raises(ValueError, match="bfloat16"):
                self.build(train, rounded_features)
            return
        found = []
        for given in (features, rounded_features):
            model = self.build(train, given).eval()
            torch.manual_seed(3)
            found.append((model.embed(), torch.stack(list(model.loss(toy_batch(train)).values()))))
        (exact, exact_loss), (rounded, loss) = found
        assert rounded.items.dtype == torch.float32
        assert not torch.equal(rounded.items, exact.items)
        torch.testing.assert_close(rounded.users, exact.users, atol=0.05, rtol=0)
        torch.testing.assert_close(rounded.items, exact.items, atol=0.05, rtol=0)
        torch.testing.assert_close(loss, exact_loss, rtol=0.02, atol=0)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
    def test_cpu_and_cuda_agree(self) -> None:
        model = self.build()
        here = self.eval_embeddings(model).detached()  # an embedding may be the very table that moves
        there = self.eval_embeddings(model.to("cuda"))
        torch.testing.assert_close(there.users.cpu(), here.users, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(there.items.cpu(), here.items, rtol=1e-4, atol=1e-5)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
    @pytest.mark.usefixtures("float64")  # Adam makes steps of nothing but the rounding of a gradient of zero
    def test_recorded_steps_train_as_steps_taken_one_by_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        train, found = toy_interactions(), []
        for record in (True, False):
            if not record:
                monkeypatch.setattr(REGISTRY[self.name], "repeats_steps", False)
            model = self.build(train)
            fit(model, train, Settings(epochs=3, device="cuda"))
            found.append(model.state_dict())
        torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)

    def learner(self, train: Interactions, features: Mapping[str, Tensor]) -> Recommender:
        values = {"embedding_size": 16, "batch_size": 64, "learning_rate": 0.01, **self.learning}
        return self.build(train, features, **values)

    def test_it_learns_the_taste_of_users(self) -> None:
        train, test, features = grouped_taste(9)
        model = self.learner(train, features)
        trained = fit(model, train, Settings(epochs=self.learning_epochs, device="cpu"))
        losses = [sum(record.loss.values()) for record in trained.progress.history]
        assert losses[-1] < losses[0]
        chance = 8 / 86
        assert evaluate(trained.embeddings, test, mask=[train], cutoffs=[8])["recall@8"] > 3 * chance

    def test_vectors_that_decide_the_clicks_lift_it_above_lightgcn_and_noise_does_not(self) -> None:
        if not self.multimodal:
            return
        for seed in range(2):
            clicks_alone = lightgcn_on_vector_taste(seed)
            for informative in (True, False):
                train, test, features = vector_taste(seed, informative=informative)
                recall = recall_at_8(self.learner(train, features), train, test, self.learning_epochs)
                assert recall > 1.15 * clicks_alone if informative else recall < 1.1 * clicks_alone
