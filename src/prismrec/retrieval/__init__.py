"""From embeddings to ranked lists."""

from prismrec.retrieval.rank import Ranking, rank

__all__ = ["Ranking", "rank"]
