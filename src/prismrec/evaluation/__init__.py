"""Full ranking, metrics per user and their comparison."""

from prismrec.evaluation.metrics import METRICS, Evaluation, GroupMeans, UserGroups, evaluate
from prismrec.evaluation.ranking import Ranking, rank
from prismrec.evaluation.significance import Comparison, Spread, compare, holm, spread

__all__ = [
    "METRICS",
    "Comparison",
    "Evaluation",
    "GroupMeans",
    "Ranking",
    "Spread",
    "UserGroups",
    "compare",
    "evaluate",
    "holm",
    "rank",
    "spread",
]
