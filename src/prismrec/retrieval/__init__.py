"""From embeddings to ranked lists."""

from prismrec.retrieval.newcomers import HistoryMap, MapSettings, Newcomers
from prismrec.retrieval.ranking import Ranking, rank

__all__ = ["HistoryMap", "MapSettings", "Newcomers", "Ranking", "rank"]
