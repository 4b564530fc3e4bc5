"""Features on a common scale."""

import numpy as np

from prismrec.data.normalise import normalise

RNG = np.random.default_rng(0)
FEATURES = (RNG.normal(size=(50, 6)) * [1, 2, 3, 4, 5, 6] + 7).astype(np.float32)
ALL = np.ones(50, dtype=np.bool_)


def test_standardised_columns_have_mean_0_and_variance_1() -> None:
    found = normalise(FEATURES, ALL, "standardise")
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.var(0), 1, atol=1e-5)


def test_constant_columns_become_zeros() -> None:
    features = FEATURES.copy()
    features[:, 2] = 1e6
    assert not normalise(features, ALL, "standardise")[:, 2].any()


def test_rows_have_length_1_except_those_of_zeros() -> None:
    features = FEATURES.copy()
    features[3] = 0
    lengths = np.linalg.norm(normalise(features, ALL, "rows"), axis=1)
    np.testing.assert_allclose(np.delete(lengths, 3), 1, atol=1e-6)
    assert lengths[3] == 0


def test_filled_rows_do_not_count_and_become_the_mean_of_the_others() -> None:
    present = np.arange(50) >= 10
    features = FEATURES.copy()
    features[~present] = 1000
    for method in ("rows", "standardise"):
        found = normalise(features, present, method)
        np.testing.assert_array_equal(found[present], normalise(FEATURES[present], ALL[:40], method))
        np.testing.assert_allclose(found[0], found[present].mean(0), atol=1e-5)


def test_rows_that_were_filled_with_zeros_stay_zeros() -> None:
    present = np.arange(50) >= 10
    features = FEATURES.copy()
    features[~present] = 0
    for method in ("rows", "standardise"):
        assert not normalise(features, present, method)[~present].any()


def test_many_rows_are_as_few_ones() -> None:
    many = np.tile(FEATURES, (400, 1))
    found = normalise(many, np.ones(len(many), dtype=np.bool_), "standardise")
    np.testing.assert_allclose(found[:50], normalise(FEATURES, ALL, "standardise"), atol=1e-5)


def test_none_changes_nothing() -> None:
    assert normalise(FEATURES, ALL, "none") is FEATURES
