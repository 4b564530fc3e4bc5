"""From embeddings to ranked lists."""

from prismrec.retrieval.newcomers import HistoryMap, Newcomers
from prismrec.retrieval.ranking import Ranking, rank

__all__ = ["HistoryMap", "Newcomers", "Ranking", "rank"]
