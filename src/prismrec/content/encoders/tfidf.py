"""The built-in encoder of texts: latent semantic analysis. It needs no download and no GPU."""

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import TruncatedSVD  # type: ignore[import-untyped]  # it ships no type information
from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]  # likewise

from prismrec.content.encoder import FittedEncoder
from prismrec.content.encoders.histograms import unit_rows
from prismrec.errors import InputError, parse_json
from prismrec.provenance import State
from prismrec.types import FloatArray

_WIDTH = 64
"""Largest number of columns F. Few texts give fewer."""
_MOST_TERMS = 50_000


class TfIdf(FittedEncoder):
    """TF-IDF weights of words and pairs of words, reduced by latent semantic analysis; rows have length 1."""

    name = "tfidf"
    modality = "text"
    version = "1"
    preprocessing = f"words and pairs of words in two or more texts, the {_MOST_TERMS:,} most frequent; 1 + log counts"
    batch_size = 1024

    _terms: list[str]
    _idf: npt.NDArray[np.float64]  # [V]
    _directions: npt.NDArray[np.float64]  # [V, F]

    def fit(self, prepared: Iterable[str]) -> None:
        """Find the terms, their weights and the principal directions.

        Raises:
            InputError: no words in common between texts.
        """
        texts = list(prepared)
        vectorizer = _vectorizer(min_df=2, max_features=_MOST_TERMS)
        try:
            weights = vectorizer.fit_transform(texts)  # [n, V]
        except ValueError:
            weights = np.zeros((len(texts), 0))
        width = min(_WIDTH, min(weights.shape) - 1)
        if width < 1:
            found = f"{len(texts)} texts with {weights.shape[1]} terms in common"
            raise InputError(f"encoder {self.name}", found, "texts that share words")
        reduction = TruncatedSVD(width, algorithm="arpack", random_state=0).fit(weights)
        terms = json.dumps(vectorizer.get_feature_names_out().tolist()).encode()
        self.load(
            {
                "terms": np.frombuffer(terms, dtype=np.uint8),
                "idf": vectorizer.idf_,
                "directions": reduction.components_.T.astype(np.float32),
            }
        )

    def state(self) -> State:
        """The terms (a JSON list as bytes), their weights `[V]` and the directions `[V, F]`."""
        terms = json.dumps(self._terms).encode()
        return {
            "terms": np.frombuffer(terms, dtype=np.uint8),
            "idf": self._idf,
            "directions": self._directions.astype(np.float32),
        }

    def load(self, state: State) -> None:
        """Take terms, weights and directions."""
        self._terms = parse_json(state["terms"].tobytes())
        self._idf = state["idf"].astype(np.float64)
        self._directions = np.ascontiguousarray(state["directions"]).astype(np.float64)
        self.width = self._directions.shape[1]
        parts = (json.dumps(self._terms).encode(), self._idf.tobytes(), self._directions.tobytes())
        self.weights = hashlib.sha256(b"".join(parts)).hexdigest()
        self._vectorizer = _vectorizer(vocabulary=self._terms)
        self._vectorizer.idf_ = self._idf

    def encode(self, batch: Sequence[str]) -> FloatArray:
        """Project weights of terms onto the directions; a text without a known term has a row of zeros."""
        return unit_rows(self._vectorizer.transform(batch) @ self._directions)


def _vectorizer(**options: object) -> TfidfVectorizer:
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **options)
