import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.pairs import Pairs
from prismrec.data.split import TEST, TRAIN, VALID, SplitSpec, split_labels
from prismrec.errors import InputError, ParameterError


def pairs_of_degrees(degrees, num_items=40, **columns):
    """Pairs of users, where user u has the items 0 to degrees[u] - 1."""
    users = np.repeat(np.arange(len(degrees), dtype=np.int32), degrees)
    items = np.concatenate([np.arange(degree, dtype=np.int32) for degree in degrees])
    return Pairs(users, items, len(degrees), num_items, **columns)


def counts(labels, groups, label, size):
    return np.bincount(groups[labels == label], minlength=size)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(0, 5))
def test_by_user_applies_the_ratios_to_each_user(degrees, seed):
    pairs = pairs_of_degrees(degrees)
    labels = split_labels(pairs, SplitSpec(by="user", seed=seed), "here")
    train = counts(labels, pairs.users, TRAIN, len(degrees))
    valid = counts(labels, pairs.users, VALID, len(degrees))
    test = counts(labels, pairs.users, TEST, len(degrees))
    for user, degree in enumerate(degrees):
        held_out = max(1, int(degree * 0.1 + 0.5)) if degree >= 3 else 0
        assert train[user] == degree - 2 * held_out
        assert valid[user] == held_out
        assert test[user] == held_out


@pytest.mark.parametrize(("degree", "expected"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (1, 1, 2))])
def test_by_user_leaves_each_user_a_training_pair_with_large_held_out_shares(degree, expected):
    pairs = pairs_of_degrees([degree])
    labels = split_labels(pairs, SplitSpec(by="user", ratios=(1, 1, 2)), "here")
    assert tuple(np.bincount(labels, minlength=3)) == expected


def test_by_user_with_validation_share_0_has_no_validation_pair():
    labels = split_labels(pairs_of_degrees([5, 3]), SplitSpec(by="user", ratios=(8, 0, 2)), "here")
    assert np.bincount(labels, minlength=3).tolist() == [6, 0, 2]


def test_random_splits_are_functions_of_the_seed():
    pairs = pairs_of_degrees([30] * 20)
    for by in ("user", "overall", "cold-items"):
        first = split_labels(pairs, SplitSpec(by=by, seed=3), "here")
        again = split_labels(pairs, SplitSpec(by=by, seed=3), "here")
        other = split_labels(pairs, SplitSpec(by=by, seed=4), "here")
        assert (first == again).all()
        assert (first != other).any()


def test_by_user_draws_all_pairs_with_equal_probability():
    pairs = pairs_of_degrees([10] * 4000)
    labels = split_labels(pairs, SplitSpec(by="user"), "here")
    drawn = counts(labels, pairs.items, TEST, 10)
    # 4,000 draws over 10 positions: standard deviation 19, so 5 of them are 95.
    assert (np.abs(drawn - 400) < 95).all()


def test_overall_applies_the_ratios_to_all_pairs():
    labels = split_labels(pairs_of_degrees([25] * 40), SplitSpec(by="overall", ratios=(7, 1, 2)), "here")
    assert np.bincount(labels).tolist() == [700, 100, 200]


def test_last_holds_out_the_last_two_pairs_and_breaks_ties_by_item_number():
    times = np.array([5, 9, 9, 1, 4, 4, 7], dtype=np.int64)
    pairs = pairs_of_degrees([4, 2, 1], timestamps=times)
    labels = split_labels(pairs, SplitSpec(by="last"), "here")
    assert labels.tolist() == [TRAIN, TEST, VALID, TRAIN, TEST, TRAIN, TRAIN]


def test_by_time_all_training_pairs_are_older_than_held_out_pairs():
    times = np.random.default_rng(0).integers(0, 50, 400).astype(np.float64)
    labels = split_labels(pairs_of_degrees([40] * 10, timestamps=times), SplitSpec(by="time"), "here")
    assert times[labels == TRAIN].max() < times[labels == VALID].min()
    assert times[labels == VALID].max() < times[labels == TEST].min()
    # At least a tenth, and all pairs with the timestamp of the cut (8 per timestamp on average).
    assert 40 <= (labels == TEST).sum() < 60


def test_cold_items_have_all_pairs_in_one_split():
    degrees = np.random.default_rng(0).integers(1, 40, 30).tolist()
    pairs = pairs_of_degrees(degrees, num_items=60)
    labels = split_labels(pairs, SplitSpec(by="cold-items"), "here")
    labels_by_item = [set(labels[pairs.items == item].tolist()) for item in np.unique(pairs.items)]
    assert all(len(each) == 1 for each in labels_by_item)
    share = round(len(labels_by_item) * 0.1)
    assert labels_by_item.count({VALID}) == share
    assert labels_by_item.count({TEST}) == share


@pytest.mark.parametrize(
    ("by", "found", "expected"),
    [
        ("label", "no split column", "another one named by ColumnNames.split (--split-column)"),
        ("last", "no timestamp column", "another one named by ColumnNames.timestamp (--time-column)"),
        ("time", "no timestamp column", "another one named by ColumnNames.timestamp (--time-column)"),
    ],
)
def test_pairs_without_the_column_of_the_protocol_are_refused(by, found, expected):
    with pytest.raises(InputError) as refusal:
        split_labels(pairs_of_degrees([3]), SplitSpec(by=by), "clicks.csv")
    assert (refusal.value.where, refusal.value.found) == ("clicks.csv", found)
    assert expected in refusal.value.expected


def test_a_split_without_training_pairs_is_refused():
    pairs = pairs_of_degrees([10], timestamps=np.zeros(10, np.int64))
    with pytest.raises(InputError, match=r"split by time: found no training pair \(0 valid, 10 test\)"):
        split_labels(pairs, SplitSpec(by="time"), "clicks.csv")


@pytest.mark.parametrize("ratios", [(0, 1, 1), (8, -1, 1), (8, 1), (float("nan"), 1, 1)])
def test_invalid_ratios_are_refused(ratios):
    with pytest.raises(ParameterError, match=r"ratios: .* three shares train:valid:test"):
        SplitSpec(ratios=ratios)


def test_an_unknown_protocol_or_a_negative_seed_is_refused():
    with pytest.raises(ParameterError, match="by: found 'random'; expected one of: label, user"):
        SplitSpec(by="random")
    with pytest.raises(ParameterError, match="seed: found -1"):
        SplitSpec(seed=-1)
