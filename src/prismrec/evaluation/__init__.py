"""Ranking metrics per user, and tests of their differences."""

from prismrec.evaluation.metrics import METRICS, Evaluation, GroupMeans, UserGroups, evaluate
from prismrec.evaluation.significance import Comparison, Spread, compare, holm, spread

__all__ = [
    "METRICS",
    "Comparison",
    "Evaluation",
    "GroupMeans",
    "Spread",
    "UserGroups",
    "compare",
    "evaluate",
    "holm",
    "spread",
]
