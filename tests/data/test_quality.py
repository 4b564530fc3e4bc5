"""Figures about features, and the warnings that follow from them."""

import numpy as np
import pytest

from prismrec.data.quality import describe_features, warnings_about

RNG = np.random.default_rng(0)
GOOD = RNG.normal(size=(200, 8)).astype(np.float32)
ALL = np.ones(200, dtype=np.bool_)


def warnings(**features: np.ndarray) -> str:
    return "\n".join(warnings_about({name: describe_features(rows, ALL) for name, rows in features.items()}))


def test_figures_are_those_of_a_plain_computation():
    rows = GOOD * 3 + 5
    quality = describe_features(rows, ALL)
    exact = rows.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    assert (quality.shortest, quality.median, quality.longest) == pytest.approx(
        (lengths.min(), np.median(lengths), lengths.max())
    )
    assert quality.spread == pytest.approx(exact.var(0).sum() / (exact**2).sum(1).mean())
    assert quality.largest_column == pytest.approx(exact.std(0).max() / np.median(exact.std(0)))


def test_filled_rows_do_not_count():
    rows, present = GOOD.copy(), ALL.copy()
    present[50:] = False
    rows[50:] = 1e6
    assert describe_features(rows, present) == describe_features(GOOD[:50], ALL[:50])


def test_good_features_cause_no_warning():
    assert warnings(image=GOOD, text=2 * GOOD) == ""


def test_equal_rows_are_counted_however_many_blocks_apart():
    rows = RNG.normal(size=(20_000, 3)).astype(np.float32)
    rows[19_990:] = rows[:10]
    rows[5, 0], rows[6] = 0.0, rows[5]
    rows[6, 0] = -0.0
    rows[19_995:19_997] = rows[5]
    assert describe_features(rows, np.ones(20_000, dtype=np.bool_)).duplicates == 11


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda rows: np.concatenate([rows[:190], rows[:10]]), "10 of 200 rows are equal"),
        (lambda rows: rows * [1, 1, 1, 1, 1, 1, 0, 0], "2 columns are the same for all items"),
        (lambda rows: rows * 1000, r"which is large for many models (--normalise rows)"),
        (lambda rows: rows * np.where(np.arange(200) == 7, 100, 1)[:, None], "the longest and the median row"),
        (lambda rows: rows + 50, "(--normalise standardise)"),
        (lambda rows: rows * [1, 1, 1, 1, 1, 1, 1, 500], "times as much as the median one"),
        (lambda rows: rows * (np.arange(200) > 2)[:, None], "3 rows of zeros"),
    ],
)
def test_each_fault_causes_its_warning(change, warning):
    assert warning in warnings(image=np.asarray(change(GOOD), dtype=np.float32))


def test_modalities_of_very_different_scale_are_compared():
    assert "rows of image are 20 times as long as those of text" in warnings(image=GOOD * 20, text=GOOD)


def test_one_row_and_equal_rows_have_figures():
    assert describe_features(GOOD[:1], ALL[:1]).constant_columns == 8
    equal = describe_features(np.tile(GOOD[:1], (200, 1)), ALL)
    assert (equal.duplicates, equal.largest_column) == (199, 0)
