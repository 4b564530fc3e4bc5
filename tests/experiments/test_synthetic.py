import numpy as np
import pytest

from prismrec.errors import InputError
from prismrec.experiments.synthetic import random_dataset


def test_every_user_and_item_has_a_training_pair_and_the_splits_are_disjoint() -> None:
    data = random_dataset(300, 150, 2400, {"image": 5, "text": 3})
    assert (len(data.train), len(data.valid), len(data.test)) == (2400, 300, 300)
    assert min(data.train.user_degrees.min(), data.train.item_degrees.min()) >= 1
    keys = [split.users.astype(np.int64) * 150 + split.items for split in (data.train, data.valid, data.test)]
    assert len(np.unique(np.concatenate(keys))) == 3000
    assert [matrix.shape for matrix in data.features.values()] == [(150, 5), (150, 3)]


def test_popularity_has_a_long_tail() -> None:
    degrees = np.sort(random_dataset(2000, 1000, 20_000, {}).train.item_degrees)
    assert (
        degrees[-100:].sum() > 3 * 0.1 * degrees.sum()
    )  # a tenth of the items has more than three tenths of all pairs


def test_duplicates_are_near_each_other() -> None:
    def share_of_near_neighbours(duplicates: int) -> float:
        features = random_dataset(300, 200, 2400, {"image": 64}, duplicates=duplicates).features["image"]
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        return float((np.sort(unit @ unit.T, axis=1)[:, -5] > 0.4).mean())  # with a fourth neighbour of cosine 0.4

    assert share_of_near_neighbours(20) > 0.9
    assert share_of_near_neighbours(1) < 0.1


def test_the_data_depend_on_the_seed_only() -> None:
    def fingerprint(seed: int) -> str:
        return random_dataset(100, 50, 400, {"image": 4}, seed).fingerprint

    assert fingerprint(1) == fingerprint(1)
    assert fingerprint(1) != fingerprint(2)


def test_sizes_that_do_not_fit_together_are_refused() -> None:
    for size in ((100, 50, 99), (10, 10, 90), (0, 50, 100)):
        with pytest.raises(InputError, match="size"):
            random_dataset(*size, {})
