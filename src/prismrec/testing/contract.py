"""The promises of `Recommender`, checked on toy data."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from prismrec.evaluation import evaluate
from prismrec.models import Recommender
from prismrec.ops import kernels_available, without_kernels
from prismrec.records import Settings
from prismrec.retrieval.newcomers import fit_history_maps
from prismrec.testing.learning import lightgcn_recall, recall_at_8
from prismrec.testing.meta_device import host_draws_nothing, move_to_meta, replace_sparse_products
from prismrec.testing.toys import (
    NUM_ITEMS,
    NUM_USERS,
    default_dtype,
    grouped_taste,
    toy_batch,
    toy_features,
    toy_interactions,
    vector_taste,
)
from prismrec.training import fit
from prismrec.types import Embeddings, Interactions, Triplets


class RecommenderContract:
    """Tests of one model with one config. A subclass sets `model`, and overrides defaults that do not fit."""

    model: ClassVar[type[Recommender]]
    config: ClassVar[dict[str, object]] = {}
    """Hyperparameters that suit the toy, in addition to `embedding_size` 6 and `batch_size` 8."""
    learning: ClassVar[dict[str, object]] = {}
    """Hyperparameters, in addition to `config`, with which the model learns `grouped_taste`."""
    learning_epochs: ClassVar[int] = 40
    multimodal: ClassVar[bool] = False
    """Whether features that decide the clicks must lift the model above LightGCN."""

    def build(
        self,
        train: Interactions | None = None,
        features: Mapping[str, Tensor] | None = None,
        seed: int = 0,
        **settings: object,
    ) -> Recommender:
        """A new model, by default of `toy_interactions` and two modalities."""
        torch.manual_seed(seed)
        values = {"embedding_size": 6, "batch_size": 8, **self.config, **settings}
        config = self.model.Config.model_validate(values)
        return self.model(train or toy_interactions(), toy_features(2) if features is None else features, config)

    def embed(self, model: Recommender) -> Embeddings:
        """Embeddings in eval mode."""
        model.eval()
        with torch.no_grad():
            return model.embed()

    def step(self, model: Recommender, batch: Triplets, epoch: int = 0) -> dict[str, Tensor]:
        """The loss terms of one training step; the gradients stay in place."""
        torch.manual_seed(3)
        model.train()
        model.zero_grad()
        model.start_epoch(epoch, torch.Generator().manual_seed(4))
        terms = model(batch)
        if terms:
            total(terms).backward()
        return terms

    def learner(self, train: Interactions, features: Mapping[str, Tensor]) -> Recommender:
        """A model with the hyperparameters of `learning`."""
        values = {"embedding_size": 16, "batch_size": 64, "learning_rate": 0.01, **self.learning}
        return self.build(train, features, 0, **values)

    def test_it_has_a_name_a_paper_and_a_cost(self) -> None:
        assert self.model.name
        assert self.model.paper
        assert self.model.cost

    def test_compiled_kernels_do_not_change_what_it_learns(self) -> None:
        """In double precision: in float32, Adam makes full steps from gradients that are rounding errors."""
        if not kernels_available():
            pytest.skip("the kernels are not built here")
        with default_dtype(torch.float64):
            compiled, _ = self.trained()
            with without_kernels():
                plain, _ = self.trained()
        torch.testing.assert_close(compiled.state_dict(), plain.state_dict(), rtol=1e-5, atol=1e-8)

    def test_compiled_kernels_do_not_change_its_losses(self) -> None:
        if not kernels_available():
            pytest.skip("the kernels are not built here")
        _, compiled = self.trained()
        with without_kernels():
            _, plain = self.trained()
        for found, expected in zip(compiled, plain, strict=True):
            assert found == pytest.approx(expected, rel=1e-4)

    def trained(self) -> tuple[Recommender, list[dict[str, float]]]:
        """The model after two epochs, and the losses of both."""
        model = self.build()
        history = fit(model, toy_interactions(), Settings(epochs=2, device="cpu")).progress.history
        return model, [record.loss for record in history]

    def test_a_step_never_makes_the_host_wait_for_a_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On the "meta" device tensors have shapes and no values, so an operation that needs a value fails.

        Code that only runs on a CPU fails too. The host must not draw random numbers, which a replayed step would not
        draw again.
        """
        if not self.model.repeats_steps:
            pytest.skip("it does not promise to repeat steps")
        model = self.build()
        replace_sparse_products(monkeypatch)
        model.train()
        model.start_epoch(0, torch.Generator().manual_seed(4))
        batch = toy_batch(toy_interactions())
        move_to_meta(model, batch)
        meta_batch = Triplets(batch.users.to("meta"), batch.positives.to("meta"), batch.negatives.to("meta"))
        with host_draws_nothing():
            terms = model(meta_batch)
            if terms:
                total(terms).backward()

    @pytest.mark.parametrize("modalities", [1, 2, 3])
    def test_embeddings_and_gradients_are_finite_with_any_number_of_modalities(self, modalities: int) -> None:
        train = toy_interactions()
        model = self.build(train, toy_features(modalities))
        terms = self.step(model, toy_batch(train))
        assert all(term.ndim == 0 and term.isfinite() for term in terms.values())
        assert gradients_are_finite(model)
        embeddings = self.embed(model)
        assert embeddings.users.shape[0] == NUM_USERS
        assert embeddings.items.shape == (NUM_ITEMS, embeddings.users.shape[1])
        assert embeddings.users.dtype == embeddings.items.dtype == torch.float32
        assert embeddings.users.isfinite().all()
        assert embeddings.items.isfinite().all()

    def test_without_modalities_it_works_or_says_what_it_needs(self) -> None:
        if self.model.min_modalities:
            with pytest.raises(ValueError, match="modality"):
                self.build(features={})
        else:
            assert self.embed(self.build(features={})).users.isfinite().all()

    def test_two_evaluations_are_bit_identical(self) -> None:
        train = toy_interactions()
        model = self.build(train)
        self.step(model, toy_batch(train))
        first, second = self.embed(model), self.embed(model)
        assert torch.equal(first.users, second.users)
        assert torch.equal(first.items, second.items)

    def test_evaluation_between_two_steps_does_not_change_training(self) -> None:
        train = toy_interactions()
        losses = []
        for evaluates in (False, True):
            model = self.build(train)
            self.step(model, toy_batch(train))
            if evaluates:
                self.embed(model)
            torch.manual_seed(5)
            model.train()
            losses.append({name: term.item() for name, term in model(toy_batch(train)).items()})
        assert losses[0] == losses[1]

    def test_same_seed_same_loss(self) -> None:
        train = toy_interactions()
        first = self.step(self.build(train), toy_batch(train))
        second = self.step(self.build(train), toy_batch(train))
        assert {k: v.item() for k, v in first.items()} == {k: v.item() for k, v in second.items()}

    def test_relabelling_users_and_items_permutes_the_result(self) -> None:
        train, features = toy_interactions(), toy_features(2)
        rng = np.random.default_rng(6)
        new_users, new_items = rng.permutation(NUM_USERS), rng.permutation(NUM_ITEMS)  # new number of each old one
        relabelled = Interactions.from_pairs(new_users[train.users], new_items[train.items], NUM_USERS, NUM_ITEMS)
        old_users, old_items = torch.from_numpy(np.argsort(new_users)), torch.from_numpy(np.argsort(new_items))
        model = self.build(train, features)
        twin = self.build(relabelled, {name: matrix[old_items] for name, matrix in features.items()}, seed=7)
        orders = {
            NUM_USERS: old_users,
            NUM_ITEMS: old_items,
            NUM_USERS + NUM_ITEMS: torch.cat([old_users, NUM_USERS + old_items]),
        }
        state = {
            name: tensor[orders[len(tensor)]] if tensor.ndim and len(tensor) in orders else tensor
            for name, tensor in model.state_dict().items()
        }
        twin.load_state_dict(state)
        here, there = self.embed(model), self.embed(twin)
        torch.testing.assert_close(there.users, here.users[old_users], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(there.items, here.items[old_items], rtol=1e-4, atol=1e-5)

    def test_a_modality_of_width_one_and_a_batch_of_one_work(self) -> None:
        train = toy_interactions()
        model = self.build(train, {"price": torch.linspace(-1, 1, NUM_ITEMS)[:, None]})
        terms = self.step(model, toy_batch(train, 1))
        assert all(term.isfinite() for term in terms.values())
        assert gradients_are_finite(model)

    def test_a_zero_feature_row_does_no_harm(self) -> None:
        train, features = toy_interactions(), toy_features(2)
        for matrix in features.values():
            matrix[3] = 0
        model = self.build(train, features)
        self.step(model, toy_batch(train))
        assert gradients_are_finite(model)
        assert self.embed(model).items.isfinite().all()

    def test_saved_and_loaded_it_gives_the_same_scores(self) -> None:
        train = toy_interactions()
        model = self.build(train)
        self.step(model, toy_batch(train))
        weights = load(save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}))
        twin = self.build(train, seed=8)
        twin.load_state_dict(weights)
        assert torch.equal(self.embed(model).scores(), self.embed(twin).scores())

    def test_bfloat16_features_change_the_result_by_their_rounding_only_or_are_refused(self) -> None:
        train, features = toy_interactions(), toy_features(2)
        rounded_features = {name: matrix.bfloat16() for name, matrix in features.items()}
        if not self.model.bf16_features:
            with pytest.raises(ValueError, match="bfloat16"):
                self.build(train, rounded_features)
            return
        exact, exact_loss = self.embeddings_and_loss(train, features)
        rounded, rounded_loss = self.embeddings_and_loss(train, rounded_features)
        assert rounded.items.dtype == torch.float32
        assert not torch.equal(rounded.items, exact.items)
        torch.testing.assert_close(rounded.users, exact.users, atol=0.05, rtol=0)
        torch.testing.assert_close(rounded.items, exact.items, atol=0.05, rtol=0)
        torch.testing.assert_close(rounded_loss, exact_loss, rtol=0.02, atol=0)

    def embeddings_and_loss(self, train: Interactions, features: Mapping[str, Tensor]) -> tuple[Embeddings, Tensor]:
        """Embeddings, and the loss terms of a batch, in eval mode."""
        model = self.build(train, features).eval()
        torch.manual_seed(3)
        embeddings = model.embed()
        return embeddings, torch.stack(list(model(toy_batch(train)).values()))

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
    def test_cpu_and_cuda_agree(self) -> None:
        model = self.build()
        here = self.embed(model).detached()  # a copy, because an embedding may be a table that moves
        there = self.embed(model.to("cuda"))
        torch.testing.assert_close(there.users.cpu(), here.users, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(there.items.cpu(), here.items, rtol=1e-4, atol=1e-5)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
    def test_replayed_steps_train_like_single_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In double precision: in float32, Adam makes full steps from gradients that are rounding errors."""
        train = toy_interactions()
        with default_dtype(torch.float64):
            replayed = self.build(train)
            fit(replayed, train, Settings(epochs=3, device="cuda"))
            monkeypatch.setattr(self.model, "repeats_steps", False)
            single = self.build(train)
            fit(single, train, Settings(epochs=3, device="cuda"))
        torch.testing.assert_close(replayed.state_dict(), single.state_dict(), rtol=1e-3, atol=1e-5)

    def test_it_learns_the_taste_of_users_and_embeds_them_from_their_histories_as_well(self) -> None:
        train, test, features = grouped_taste(9)
        model = self.learner(train, features)
        trained = fit(model, train, Settings(epochs=self.learning_epochs, device="cpu"))
        losses = [sum(record.loss.values()) for record in trained.progress.history]
        if losses:  # a closed form has none
            assert losses[-1] < losses[0]
        chance = 8 / 86
        learned = evaluate(trained.embeddings, test, mask=[train], cutoffs=[8])["recall@8"]
        assert learned > 3 * chance
        (embed,) = fit_history_maps(trained.embeddings, train, [0.01], discount=0.5, power=0.5)
        as_if_new = Embeddings(embed(train), trained.embeddings.items)
        assert evaluate(as_if_new, test, mask=[train], cutoffs=[8])["recall@8"] > 0.9 * learned

    def test_informative_features_lift_it_above_lightgcn_and_noise_does_not(self) -> None:
        if not self.multimodal:
            return
        for seed in range(2):
            from_clicks = lightgcn_recall(seed)
            for informative in (True, False):
                train, test, features = vector_taste(seed, informative=informative)
                recall = recall_at_8(self.learner(train, features), train, test, self.learning_epochs)
                assert recall > 1.15 * from_clicks if informative else recall < 1.1 * from_clicks


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """The loss of a step, a scalar."""
    return torch.stack(list(terms.values())).sum()


def gradients_are_finite(model: Recommender) -> bool:
    """Whether all gradients that exist are finite, sparse ones included."""
    gradients = [weight.grad.to_dense() for weight in model.parameters() if weight.grad is not None]
    return all(bool(gradient.isfinite().all()) for gradient in gradients)
