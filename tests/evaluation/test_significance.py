import numpy as np
import pytest
from scipy import stats

from prismrec.evaluation import compare, holm, spread


def two_models(gain: float, n: int = 400):
    rng = np.random.default_rng(0)
    baseline = rng.random(n)
    return baseline + gain + 0.1 * rng.standard_normal(n), baseline


def test_a_better_model_has_a_small_p_value_and_a_worse_one_a_p_value_near_one():
    better, worse = compare(*two_models(0.05)), compare(*two_models(-0.05))
    assert better.t_p < 1e-6
    assert better.wilcoxon_p < 1e-6
    assert worse.t_p > 1 - 1e-6
    assert worse.wilcoxon_p > 1 - 1e-6
    assert better.interval[0] > 0 > worse.interval[1]
    assert better.interval[0] < better.difference < better.interval[1]


def test_the_alternative_reverses_the_test():
    model, baseline = two_models(0.05)
    assert compare(model, baseline, alternative="less").t_p > 1 - 1e-6
    swapped = compare(baseline, model, alternative="less")
    assert swapped.t_p == pytest.approx(compare(model, baseline).t_p)
    assert compare(model, baseline, alternative="two-sided").t_p == pytest.approx(2 * swapped.t_p)


def test_p_values_equal_those_of_scipy():
    model, baseline = two_models(0.005)
    found = compare(model, baseline)
    assert found.t_p == pytest.approx(stats.ttest_rel(model, baseline, alternative="greater").pvalue)
    assert found.wilcoxon_p == pytest.approx(stats.wilcoxon(model, baseline, alternative="greater").pvalue)


def test_the_interval_is_close_to_that_of_a_normal_distribution():
    model, baseline = two_models(0.05, n=2000)
    found = compare(model, baseline)
    half = 1.96 * stats.sem(model - baseline)
    assert found.interval == pytest.approx((found.difference - half, found.difference + half), abs=half / 5)
    assert found == compare(model, baseline)


def test_equal_models_have_a_p_value_of_one():
    found = compare([0.5, 0.2, 0.0], [0.5, 0.2, 0.0])
    assert (found.t_p, found.wilcoxon_p, found.difference, found.interval) == (1.0, 1.0, 0.0, (0.0, 0.0))


@pytest.mark.parametrize(("model", "baseline"), [([1.0], [0.0]), ([1.0, 2.0], [1.0]), ([1.0, np.nan], [0.0, 0.0])])
def test_values_that_cannot_be_paired_are_refused(model, baseline):
    with pytest.raises(ValueError, match=r"shapes|NaN"):
        compare(model, baseline)


def test_holm_multiplies_the_smallest_p_value_by_their_number_and_keeps_the_order():
    # By hand: 3 · 0.01 = 0.03; 2 · 0.03 = 0.06; max(0.06, 1 · 0.04) = 0.06.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []
    with pytest.raises(ValueError, match="within 0"):
        holm([1.5])


def test_spread_is_the_mean_and_the_sample_deviation_over_seeds():
    found = spread([0.09, 0.10, 0.11])
    assert (found.mean, found.sd) == pytest.approx((0.10, 0.01))
    assert str(found) == "0.1000 ± 0.0100"
    assert np.isnan(spread([0.5]).sd)
    with pytest.raises(ValueError, match="no values"):
        spread([])
