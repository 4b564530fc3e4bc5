import numpy as np
import pytest
import torch

from prismrec.errors import InputError
from prismrec.experiments.limits import measure_limits
from prismrec.experiments.synthetic import random_dataset


def test_every_user_and_item_has_a_training_pair_and_the_splits_are_apart() -> None:
    data = random_dataset(300, 150, 2400, {"image": 5, "text": 3})
    assert (len(data.train), len(data.valid), len(data.test)) == (2400, 300, 300)
    assert min(data.train.user_degrees.min(), data.train.item_degrees.min()) >= 1
    keys = [split.users.astype(np.int64) * 150 + split.items for split in (data.train, data.valid, data.test)]
    assert len(np.unique(np.concatenate(keys))) == 3000
    assert [matrix.shape for matrix in data.features.values()] == [(150, 5), (150, 3)]


def test_popularity_has_a_long_tail() -> None:
    degrees = np.sort(random_dataset(2000, 1000, 20_000, {}).train.item_degrees)
    assert degrees[-100:].sum() > 3 * 0.1 * degrees.sum()  # a tenth of the items has more than three tenths of it all


def test_items_that_are_alike_gather_around_centres() -> None:
    def share_of_near_neighbours(alike: int) -> float:
        features = random_dataset(300, 200, 2400, {"image": 64}, duplicates=alike).features["image"]
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        return float((np.sort(unit @ unit.T, axis=1)[:, -5] > 0.4).mean())  # the fourth neighbour is similar by half

    assert share_of_near_neighbours(20) > 0.9
    assert share_of_near_neighbours(1) < 0.1


def test_the_seed_decides_everything() -> None:
    first, again, other = (random_dataset(100, 50, 400, {"image": 4}, seed).fingerprint for seed in (1, 1, 2))
    assert first == again != other


def test_sizes_that_do_not_go_together_are_refused() -> None:
    for size in ((100, 50, 99), (10, 10, 90), (0, 50, 100)):
        with pytest.raises(InputError, match="size"):
            random_dataset(*size, {})


def test_the_work_of_a_sparse_product_is_counted_in_bytes() -> None:
    data = random_dataset(40, 20, 100, {"image": 8})
    torch.manual_seed(0)
    sparse = measure_limits(data, width=4, anchors=10, repeats=1)[0]
    touched = 100 * (4 + 4 + 4 * 4) + 40 * 4 * 4 + 40 * 4  # values, columns, rows of the operand; result; offsets
    assert sparse.rate * sparse.seconds * 1e9 == pytest.approx(touched)
