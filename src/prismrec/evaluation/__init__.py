"""Ranking metrics per user, and tests of their differences."""

from prismrec.evaluation.groups import GroupMeans, ItemGroups, UserGroups
from prismrec.evaluation.metrics import METRICS, Evaluation, evaluate, parse_metric
from prismrec.evaluation.significance import Comparison, Spread, compare, holm, spread
from prismrec.evaluation.validation import Validation, ValidationMetric

__all__ = [
    "METRICS",
    "Comparison",
    "Evaluation",
    "GroupMeans",
    "ItemGroups",
    "Spread",
    "UserGroups",
    "Validation",
    "ValidationMetric",
    "compare",
    "evaluate",
    "holm",
    "parse_metric",
    "spread",
]
