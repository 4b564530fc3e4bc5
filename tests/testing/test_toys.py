import pytest
import torch

from prismrec.testing import (
    ISOLATED_ITEM,
    ISOLATED_USER,
    NUM_ITEMS,
    NUM_USERS,
    default_dtype,
    grouped_taste,
    toy_batch,
    toy_features,
    toy_interactions,
    vector_taste,
)


def test_no_two_sizes_of_the_toy_are_equal() -> None:
    widths = [matrix.shape[1] for matrix in toy_features(3).values()]
    sizes = [NUM_USERS, NUM_ITEMS, NUM_USERS + NUM_ITEMS, *widths]
    assert len(set(sizes)) == len(sizes)


def test_one_user_and_one_item_are_isolated() -> None:
    train = toy_interactions()
    assert (train.num_users, train.num_items) == (NUM_USERS, NUM_ITEMS)
    assert not len(train.items_of(ISOLATED_USER))
    assert ISOLATED_ITEM not in train.items


def test_the_toy_batch_has_training_items_and_other_items() -> None:
    train = toy_interactions()
    batch = toy_batch(train)
    triplets = zip(batch.users.tolist(), batch.positives.tolist(), batch.negatives.tolist(), strict=True)
    for user, positive, negative in triplets:
        assert positive in train.items_of(user)
        assert negative not in train.items_of(user)


def test_tastes_hold_out_other_pairs_than_those_of_training() -> None:
    for taste in (grouped_taste(0), vector_taste(0, informative=True)):
        for user in range(taste.train.num_users):
            assert not set(taste.train.items_of(user)) & set(taste.test.items_of(user))


def test_default_dtype_is_restored_also_after_an_error() -> None:
    with pytest.raises(KeyError), default_dtype(torch.float64):
        assert torch.zeros(1).dtype == torch.float64
        raise KeyError
    assert torch.get_default_dtype() == torch.float32
