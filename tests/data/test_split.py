import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.pairs import Pairs
from prismrec.data.split import TEST, TRAIN, VALID, SplitSpec, split_labels
from prismrec.errors import InputError


def pairs_of_degrees(degrees, num_items=40, **columns):
    """User u has the items 0..degrees[u]-1."""
    users = np.repeat(np.arange(len(degrees), dtype=np.int32), degrees)
    items = np.concatenate([np.arange(degree, dtype=np.int32) for degree in degrees])
    return Pairs(users, items, len(degrees), num_items, **columns)


def counts(labels, groups, label, size):
    return np.bincount(groups[labels == label], minlength=size)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(0, 5))
def test_by_user_holds_out_the_share_of_each_user_and_keeps_one_to_train(degrees, seed):
    pairs = pairs_of_degrees(degrees)
    labels = split_labels(pairs, SplitSpec(by="user", seed=seed), "here")
    train, valid, test = (counts(labels, pairs.users, label, len(degrees)) for label in (TRAIN, VALID, TEST))
    for degree, here in zip(degrees, zip(train, valid, test, strict=True), strict=True):
        held_out = max(1, int(degree * 0.1 + 0.5)) if degree >= 3 else 0
        assert here == (degree - 2 * held_out, held_out, held_out)


@pytest.mark.parametrize(("degree", "expected"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (1, 1, 2))])
def test_by_user_with_greedy_shares_still_trains_on_each_user(degree, expected):
    pairs = pairs_of_degrees([degree])
    labels = split_labels(pairs, SplitSpec(by="user", ratios=(1, 1, 2)), "here")
    assert tuple(np.bincount(labels, minlength=3)) == expected


def test_by_user_without_a_validation_share_makes_none():
    labels = split_labels(pairs_of_degrees([5, 3]), SplitSpec(by="user", ratios=(8, 0, 2)), "here")
    assert np.bincount(labels, minlength=3).tolist() == [6, 0, 2]


def test_random_splits_differ_by_seed_and_repeat_for_one():
    pairs = pairs_of_degrees([30] * 20)
    for by in ("user", "overall", "cold-items"):
        first, again, other = (split_labels(pairs, SplitSpec(by=by, seed=seed), "here") for seed in (3, 3, 4))
        assert (first == again).all()
        assert (first != other).any()


def test_by_user_draws_every_position_about_equally():
    pairs = pairs_of_degrees([10] * 4000)
    labels = split_labels(pairs, SplitSpec(by="user"), "here")
    drawn = counts(labels, pairs.items, TEST, 10)
    # 4,000 draws over 10 positions: standard deviation 19, so 5 of them are 95.
    assert (np.abs(drawn - 400) < 95).all()


def test_overall_takes_the_shares_of_all_pairs():
    labels = split_labels(pairs_of_degrees([25] * 40), SplitSpec(by="overall", ratios=(7, 1, 2)), "here")
    assert np.bincount(labels).tolist() == [700, 100, 200]


def test_last_holds_out_the_last_two_and_breaks_ties_by_item_number():
    times = np.array([5, 9, 9, 1, 4, 4, 7], dtype=np.int64)
    pairs = pairs_of_degrees([4, 2, 1], timestamps=times)
    labels = split_labels(pairs, SplitSpec(by="last"), "here")
    assert labels.tolist() == [TRAIN, TEST, VALID, TRAIN, TEST, TRAIN, TRAIN]


def test_time_cuts_at_moments_and_never_trains_on_the_future():
    times = np.random.default_rng(0).integers(0, 50, 400).astype(np.float64)
    labels = split_labels(pairs_of_degrees([40] * 10, timestamps=times), SplitSpec(by="time"), "here")
    assert times[labels == TRAIN].max() < times[labels == VALID].min()
    assert times[labels == VALID].max() < times[labels == TEST].min()
    # At least a tenth; more only by the pairs that share the moment of the cut (8 a moment on average).
    assert 40 <= (labels == TEST).sum() < 60


def test_cold_items_leave_training_with_all_their_pairs():
    degrees = np.random.default_rng(0).integers(1, 40, 30).tolist()
    pairs = pairs_of_degrees(degrees, num_items=60)
    labels = split_labels(pairs, SplitSpec(by="cold-items"), "here")
    of_item = [set(labels[pairs.items == item].tolist()) for item in np.unique(pairs.items)]
    assert all(len(one) == 1 for one in of_item)
    share = round(len(of_item) * 0.1)
    assert [of_item.count({label}) for label in (VALID, TEST)] == [share, share]


@pytest.mark.parametrize(
    ("by", "found", "expected"),
    [
        ("label", "no split column", "--split-column"),
        ("last", "no timestamp column", "--time-column"),
        ("time", "no timestamp column", "--time-column"),
    ],
)
def test_a_protocol_without_its_column_is_refused(by, found, expected):
    with pytest.raises(InputError) as refusal:
        split_labels(pairs_of_degrees([3]), SplitSpec(by=by), "clicks.csv")
    assert (refusal.value.where, refusal.value.found) == ("clicks.csv", found)
    assert expected in refusal.value.expected


def test_one_moment_for_all_pairs_leaves_nothing_to_train_on():
    pairs = pairs_of_degrees([10], timestamps=np.zeros(10, np.int64))
    with pytest.raises(InputError, match=r"split by time: found no training pair \(0 valid, 10 test\)"):
        split_labels(pairs, SplitSpec(by="time"), "clicks.csv")


@pytest.mark.parametrize("ratios", [(0, 1, 1), (8, -1, 1), (8, 1), (float("nan"), 1, 1)])
def test_impossible_shares_are_refused(ratios):
    with pytest.raises(InputError, match="three shares train:valid:test"):
        SplitSpec(ratios=ratios)


def test_an_unknown_protocol_or_seed_is_refused():
    with pytest.raises(InputError, match="found 'random'; expected one of: label, user"):
        SplitSpec(by="random")
    with pytest.raises(InputError, match="found -1"):
        SplitSpec(seed=-1)
