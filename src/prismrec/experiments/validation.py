"""How a training scores an epoch on the validation split."""

import math
import warnings
from collections.abc import Mapping

import numpy as np

from prismrec.data import Dataset
from prismrec.errors import InputError, ParameterError
from prismrec.evaluation import Validation, ValidationMetric, parse_metric
from prismrec.records import Settings
from prismrec.training import Validate, name_of
from prismrec.types import Embeddings, Interactions

VALIDATION_CUTOFFS = (10, 20)
_MOST_PAIRS, _LEAST_USERS = 10**9, 10_000
"""The size of a validation with `validation_users="auto"`. Scoring 10⁹ pairs of a user and an item takes seconds."""


def name_metric(settings: Settings, metric: ValidationMetric | None) -> Settings:
    """The settings with the name of a metric of the caller as `metric`, if there is one.

    Raises:
        ParameterError: the metric has no name, or the settings name another one.
    """
    if metric is None:
        return settings
    name = name_of(metric)
    if not name.isidentifier():
        raise ParameterError("metric", repr(metric), "a function with a name")
    if "metric" in settings.model_fields_set and settings.metric != name:
        raise ParameterError("metric", f"{name!r}, and {settings.metric!r} in settings", "one of them")
    return settings.model_copy(update={"metric": name})


def make_validation(dataset: Dataset, settings: Settings, own_metric: ValidationMetric | None) -> Validate | None:
    """The function that scores an epoch on the validation split; None without one.

    Args:
        dataset: the data; the function has no access to the test split.
        settings: their `metric` chooses the epoch.
        own_metric: the metric of the caller that `settings` name; None if they name a built-in one.

    Raises:
        InputError: the metric is unknown, or there are no validation interactions and no number of epochs is given.
    """
    if not len(dataset.valid):
        if "epochs" not in settings.model_fields_set:
            expected = "a split with validation interactions, or a given number of epochs"
            raise InputError(dataset.name, "no validation interactions", expected)
        return None
    metrics, cutoffs = ["recall", "ndcg"], list(VALIDATION_CUTOFFS)
    if own_metric is None:
        name, cutoff = parse_metric(settings.metric)
        metrics = list(dict.fromkeys([*metrics, name]))
        cutoffs = sorted({*cutoffs, cutoff})
    train, truth = dataset.train, validation_sample(dataset.valid, settings)

    def validate(embeddings: Embeddings) -> Mapping[str, float]:
        validation = Validation(embeddings, train, truth)
        scores = validation.evaluate(metrics, cutoffs).to_dict()
        if own_metric is not None:
            scores[settings.metric] = _checked_score(settings.metric, own_metric(validation))
        return scores

    return validate


def validation_sample(valid: Interactions, settings: Settings) -> Interactions:
    """The validation interactions of at most as many users as `settings.validation_users` says; a sample is noted."""
    users = np.flatnonzero(valid.user_degrees)
    most = max(_LEAST_USERS, _MOST_PAIRS // max(1, valid.num_items))
    if settings.validation_users != "auto":
        most = settings.validation_users
    if len(users) <= most:
        return valid
    warnings.warn(f"validation_users: validations rank items for {most:,} of {len(users):,} users", stacklevel=2)
    chosen = np.random.default_rng(0).choice(users, most, replace=False)
    kept = np.isin(valid.users, chosen)
    return Interactions(valid.users[kept], valid.items[kept], valid.num_users, valid.num_items)


def _checked_score(name: str, score: object) -> float:
    try:
        value = math.nan if isinstance(score, str | bytes) else float(score)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):  # scalars of NumPy and PyTorch become floats too
        value = math.nan
    if not math.isfinite(value):
        raise ParameterError("metric", f"{score!r:.60} from {name}", "a finite number")
    return value
