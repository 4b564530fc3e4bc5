import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.pairs import LabelConflictError, Pairs, distinct, k_core, renumber

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(-3, 3)), max_size=60)


def pairs_from(rows, labels=None):
    table = np.array(rows, np.int32).reshape(-1, 3)
    return Pairs(table[:, 0], table[:, 1], 7, 6, timestamps=table[:, 2].astype(np.int64), labels=labels)


@given(PAIRS)
def test_distinct_sorts_and_keeps_the_earliest_time(rows):
    once = distinct(pairs_from(rows))
    earliest = {}
    for user, item, time in rows:
        earliest[user, item] = min(time, earliest.get((user, item), time))
    found = list(zip(once.users.tolist(), once.items.tolist(), strict=True))
    assert found == sorted(earliest)
    assert once.timestamps is not None
    assert once.timestamps.tolist() == [earliest[pair] for pair in found]


def test_distinct_accepts_a_repeated_label_and_refuses_a_second_one():
    rows = [(1, 2, 0), (0, 3, 0), (1, 2, 0)]
    same = distinct(pairs_from(rows, np.array([2, 0, 2], np.int8)))
    assert same.labels is not None
    assert same.labels.tolist() == [0, 2]
    with pytest.raises(LabelConflictError) as conflict:
        distinct(pairs_from(rows, np.array([2, 0, 1], np.int8)))
    assert (conflict.value.user, conflict.value.item, conflict.value.labels) == (1, 2, (1, 2))


def slow_core(pairs, k):
    """The k-core by definition: remove one user or item at a time, until none has fewer than k."""
    while True:
        for side in (0, 1):
            counts = {}
            for pair in pairs:
                counts[pair[side]] = counts.get(pair[side], 0) + 1
            low = next((number for number, count in counts.items() if count < k), None)
            if low is not None:
                pairs = {pair for pair in pairs if pair[side] != low}
                break
        else:
            return pairs


@given(PAIRS, st.integers(0, 4))
def test_the_k_core_is_what_removal_one_by_one_leaves(rows, k):
    core = k_core(distinct(pairs_from(rows)), k)
    assert set(zip(core.users.tolist(), core.items.tolist(), strict=True)) == slow_core({row[:2] for row in rows}, k)


def test_renumber_closes_gaps_and_tells_the_old_numbers():
    kept, users, items = renumber(distinct(pairs_from([(1, 5, 0), (6, 2, 1), (6, 5, 2)])))
    assert (kept.num_users, kept.num_items) == (2, 2)
    assert users[kept.users].tolist() == [1, 6, 6]
    assert items[kept.items].tolist() == [5, 2, 5]
    assert kept.users.max() == 1
