import numpy as np
import pytest
import torch
from torch import Tensor

from prismrec.errors import InputError
from prismrec.training import Sampler
from prismrec.types import Interactions, Triplets

CPU = torch.device("cpu")


def make(pairs: list[tuple[int, int]], users: int, items: int) -> Interactions:
    return Interactions.from_pairs(*np.array(pairs).T, users, items)


def draw(train: Interactions, name: str, batch_size: int, seed: int = 0) -> list[Triplets]:
    return list(Sampler(train, name, batch_size, CPU).epoch(torch.Generator().manual_seed(seed)))


@pytest.fixture
def train() -> Interactions:
    rng = np.random.default_rng(0)
    dense = rng.random((40, 30)) < 0.3
    dense[7], dense[:, 9] = False, False
    return Interactions.from_pairs(*np.nonzero(dense), 40, 30)


def test_the_interaction_sampler_draws_every_pair_once(train: Interactions) -> None:
    batches = draw(train, "interaction", 32)
    assert [len(batch) for batch in batches[:-1]] == [32] * (len(batches) - 1)
    seen = np.concatenate([np.stack([b.users, b.positives], 1) for b in batches])
    assert sorted(map(tuple, seen.tolist())) == list(zip(train.users.tolist(), train.items.tolist(), strict=True))
    assert len(batches) == Sampler(train, "interaction", 32, CPU).batches_per_epoch


@pytest.mark.parametrize("name", ["interaction", "user"])
def test_negatives_are_never_positives(train: Interactions, name: str) -> None:
    known = set(zip(train.users.tolist(), train.items.tolist(), strict=True))
    for seed in range(20):
        for batch in draw(train, name, 16, seed):
            pairs = set(zip(batch.users.tolist(), batch.negatives.tolist(), strict=True))
            assert not pairs & known
            assert set(zip(batch.users.tolist(), batch.positives.tolist(), strict=True)) <= known


@pytest.mark.parametrize(("name", "draws_unseen_items"), [("interaction", False), ("user", True)])
def test_negatives_are_uniform_over_the_candidates_that_a_user_lacks(
    train: Interactions, name: str, draws_unseen_items: bool
) -> None:
    counts = np.zeros((40, 30))
    for seed in range(300):
        for batch in draw(train, name, 64, seed):
            np.add.at(counts, (batch.users.numpy(), batch.negatives.numpy()), 1)
    assert (counts[:, 9].sum() > 0) == draws_unseen_items
    candidates = np.ones((40, 30), dtype=bool) if draws_unseen_items else np.tile(train.item_degrees > 0, (40, 1))
    candidates[train.users, train.items] = False
    assert (counts[~candidates] == 0).all()
    for user in np.flatnonzero(counts.sum(1)):
        observed = counts[user, candidates[user]]
        expected = observed.sum() / len(observed)
        chi_square = ((observed - expected) ** 2 / expected).sum()
        freedom = len(observed) - 1
        assert chi_square < freedom + 5 * np.sqrt(2 * freedom)


def test_the_user_sampler_draws_distinct_users_uniformly(train: Interactions) -> None:
    counts = np.zeros(40)
    for seed in range(200):
        for batch in draw(train, "user", 16, seed):
            assert len(set(batch.users.tolist())) == 16
            counts += np.bincount(batch.users, minlength=40)
    assert counts[7] == 0
    active = counts[train.user_degrees > 0]
    assert active.std() / active.mean() < 0.1
    assert len(draw(train, "user", 16)) == len(train) // 16 + 1


def test_the_user_sampler_repeats_users_only_if_the_batch_is_larger_than_their_number(train: Interactions) -> None:
    assert all(len(batch) == 64 for batch in draw(train, "user", 64))


@pytest.mark.parametrize("name", ["interaction", "user"])
def test_batches_depend_on_the_seed_only(train: Interactions, name: str) -> None:
    def negatives(seed: int) -> Tensor:
        return torch.cat([batch.negatives for batch in draw(train, name, 16, seed)])

    first, again, other = negatives(1), negatives(1), negatives(2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_user_with_every_item_is_left_out() -> None:
    train = make([(0, 0), (0, 1), (0, 2), (1, 1)], 2, 3)
    for name in ("interaction", "user"):
        users = torch.cat([batch.users for batch in draw(train, name, 4)])
        assert set(users.tolist()) == {1}


@pytest.mark.parametrize("name", ["interaction", "user"])
@pytest.mark.parametrize(
    "train",
    [
        make([(0, 0), (0, 1), (1, 0), (1, 1)], 2, 2),  # every user has every item
        Interactions.from_pairs([], [], 2, 3),
    ],
)
def test_data_without_a_possible_negative_are_refused_in_one_line(name: str, train: Interactions) -> None:
    found = f"{len(train)} interactions of 2 users with {train.num_items} items"
    with pytest.raises(InputError, match=found) as refused:
        Sampler(train, name, 4, CPU)
    assert len(str(refused.value).splitlines()) == 1


def test_items_without_interactions_are_negatives_of_the_user_sampler_only() -> None:
    train = make([(0, 0), (0, 1), (1, 0), (1, 1)], 2, 3)
    assert {2} == set(torch.cat([batch.negatives for batch in draw(train, "user", 4)]).tolist())
    with pytest.raises(InputError):
        Sampler(train, "interaction", 4, CPU)
