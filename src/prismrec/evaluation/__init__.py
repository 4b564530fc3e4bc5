"""Full ranking, metrics per user and their comparison."""

from prismrec.evaluation.metrics import METRICS, Evaluation, GroupMeans, UserGroups, evaluate
from prismrec.evaluation.ranking import Ranking, rank

__all__ = ["METRICS", "Evaluation", "GroupMeans", "Ranking", "UserGroups", "evaluate", "rank"]
