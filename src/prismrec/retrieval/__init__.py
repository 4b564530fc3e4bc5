"""From embeddings to answers: ranked lists under filters, similar items, reasons."""

from prismrec.retrieval.answers import Lists, Reasons
from prismrec.retrieval.audience import Audience, Unknown
from prismrec.retrieval.catalog import Catalog, Filters, Newest
from prismrec.retrieval.new_items import score_new, similar_to_new
from prismrec.retrieval.newcomers import HistoryMap, MapSettings, Newcomers
from prismrec.retrieval.ranking import Ranking, rank
from prismrec.retrieval.retriever import Retriever
from prismrec.retrieval.similar import MODEL

__all__ = [
    "MODEL",
    "Audience",
    "Catalog",
    "Filters",
    "HistoryMap",
    "Lists",
    "MapSettings",
    "Newcomers",
    "Newest",
    "Ranking",
    "Reasons",
    "Retriever",
    "Unknown",
    "rank",
    "score_new",
    "similar_to_new",
]
