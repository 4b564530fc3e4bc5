"""From embeddings to ranked lists."""

from prismrec.retrieval.ranking import Ranking, rank

__all__ = ["Ranking", "rank"]
