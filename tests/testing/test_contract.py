"""The contract accepts a model of another package and finds the mistakes that it is for."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from prismrec.models import ModelConfig, Recommender
from prismrec.testing import RecommenderContract
from prismrec.types import Embeddings, Interactions, Triplets


class Factors(Recommender):
    """Matrix factorisation in plain PyTorch."""

    name = "factors"
    paper = "none"
    cost = "B d"
    takes_features = False
    repeats_steps = True

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: ModelConfig) -> None:
        super().__init__(train, features, config)
        self.user_table = nn.Parameter(0.1 * torch.randn(self.num_users, config.embedding_size))
        self.item_table = nn.Parameter(0.1 * torch.randn(self.num_items, config.embedding_size))

    def embed(self) -> Embeddings:
        return Embeddings(self.user_table, self.item_table)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        differences = self.item_table[batch.positives] - self.item_table[batch.negatives]
        margins = (self.user_table[batch.users] * differences).sum(1)
        return {"bpr": nn.functional.softplus(-margins).mean()}


class TestFactors(RecommenderContract):
    model = Factors


class WithNoise(Factors):
    """Its evaluation is random."""

    def embed(self) -> Embeddings:
        return Embeddings(self.user_table + torch.rand_like(self.user_table), self.item_table)


class WithItemNumbers(Factors):
    """It reads a meaning into the numbers of items."""

    def embed(self) -> Embeddings:
        numbers = torch.arange(self.num_items, device=self.item_table.device)
        return Embeddings(self.user_table, self.item_table + numbers[:, None])


class WithWaitingHost(Factors):
    """Its step needs a value on the host."""

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        terms = super().forward(batch)
        return {"bpr": terms["bpr"] * (1 if terms["bpr"].item() > 0 else 2)}


class WithStateFromEvaluation(Factors):
    """An evaluation changes its weights."""

    def embed(self) -> Embeddings:
        with torch.no_grad():
            self.user_table.mul_(2)
        return super().embed()


class WithoutGradient(Factors):
    """It does not learn."""

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        return {"bpr": 0 * super().forward(batch)["bpr"]}


def contract_of(model_class: type[Recommender]) -> RecommenderContract:
    class Contract(RecommenderContract):
        model = model_class

    return Contract()


def test_a_random_evaluation_is_found() -> None:
    with pytest.raises(AssertionError):
        contract_of(WithNoise).test_two_evaluations_are_bit_identical()


def test_a_meaning_of_item_numbers_is_found() -> None:
    with pytest.raises(AssertionError):
        contract_of(WithItemNumbers).test_relabelling_users_and_items_permutes_the_result()


def test_a_step_that_makes_the_host_wait_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="meta"):
        contract_of(WithWaitingHost).test_a_step_never_makes_the_host_wait_for_a_gpu(monkeypatch)


def test_an_evaluation_that_changes_training_is_found() -> None:
    with pytest.raises(AssertionError):
        contract_of(WithStateFromEvaluation).test_evaluation_between_two_steps_does_not_change_training()


def test_a_model_that_does_not_learn_is_found() -> None:
    with pytest.raises(AssertionError):
        contract_of(WithoutGradient).test_it_learns_the_taste_of_users_and_embeds_them_from_their_histories_as_well()
