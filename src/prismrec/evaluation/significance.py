"""Tests of the difference between two models, paired by user because users differ more than models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Alternative = Literal["greater", "two-sided", "less"]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """A paired comparison of one metric of `model` with that of `baseline`.

    Attributes:
        num_users: number of users, n.
        difference: mean of model minus baseline.
        interval: bootstrap percentile interval of the difference.
        t_p: p-value of the paired t-test.
        wilcoxon_p: p-value of the Wilcoxon signed-rank test, which leaves out users whose two values are equal.
    """

    num_users: int
    difference: float
    interval: tuple[float, float]
    t_p: float
    wilcoxon_p: float


def compare(
    model: npt.ArrayLike,
    baseline: npt.ArrayLike,
    *,
    alternative: Alternative = "greater",
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Test whether `model` is better than `baseline`, user by user.

    Equal arrays have p-value 1 in both tests.

    Args:
        model: one metric of n users, `[n]`, such as `evaluation.per_user["recall@20"]`.
        baseline: the same metric of the same users in the same order.
        alternative: the alternative hypothesis: model above baseline ("greater"), below it ("less"), or either.
        confidence: level of the bootstrap interval, within 0..1.
        resamples: number of bootstrap samples of the users.
        seed: seed of the bootstrap.

    Raises:
        ValueError: the arrays differ in length, have fewer than 2 values, or contain NaN or inf.
    """
    from scipy import stats  # slow to import, and only this function needs it

    first = np.asarray(model, dtype=np.float64)
    second = np.asarray(baseline, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or len(first) < 2:
        raise ValueError(f"shapes {first.shape} and {second.shape}, expected [n] for both, with n of 2 or more")
    gain = first - second
    if not np.isfinite(gain).all():
        raise ValueError("NaN or inf among the values of the users")
    if not gain.any():
        return Comparison(len(gain), 0.0, (0.0, 0.0), 1.0, 1.0)
    t_test = stats.ttest_1samp(gain, 0.0, alternative=alternative)
    wilcoxon = stats.wilcoxon(gain, alternative=alternative)
    rng = np.random.default_rng(seed)
    means = [gain[rng.integers(len(gain), size=len(gain))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Comparison(
        len(gain), float(gain.mean()), (float(low), float(high)), float(t_test.pvalue), float(wilcoxon.pvalue)
    )


def holm(p_values: npt.ArrayLike) -> Float64Array:
    """Adjusted p-values `[m]` of m tests, in the order given.

    Rejecting the tests with an adjusted value of at most α keeps the family-wise error rate at most α.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 1979.

    Raises:
        ValueError: a value is outside 0..1.
    """
    p = np.asarray(p_values, dtype=np.float64).reshape(-1)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values must be within 0..1")
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(np.minimum(p[order] * np.arange(len(p), 0, -1), 1.0))
    adjusted = np.empty_like(p)
    adjusted[order] = steps
    return adjusted


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (n - 1) over seeds; NaN for the deviation of a single value."""

    mean: float
    sd: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.sd:.4f}"


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of one metric over several seeds.

    Raises:
        ValueError: no value.
    """
    if not values:
        raise ValueError("no values")
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"))
