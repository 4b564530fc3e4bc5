"""WordLlama: means of static word vectors, a fast text encoder whose weights are in its package."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import wordllama  # type: ignore[import-untyped]  # it ships no type information

from prismrec.content.encoder import Encoder
from prismrec.content.hashes import hash_files
from prismrec.types import FloatArray


class WordLlama(Encoder):
    """256 columns: the mean of the vectors of the tokens."""

    name = "wordllama"
    modality = "text"
    width = 256
    preprocessing = "mean of the vectors of all tokens"
    batch_size = 256

    def __init__(self) -> None:
        folder = Path(wordllama.__file__).parent
        self.version = version("wordllama")
        self.weights = hash_files([*folder.glob("weights/*_256.safetensors"), *folder.glob("tokenizers/*.json")])
        # The package looks for its own tokenizer in another folder than the one that it ships.
        self._model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)

    def encode(self, batch: Sequence[str]) -> FloatArray:
        """The mean vector of each text."""
        rows: FloatArray = np.asarray(self._model.embed(list(batch), norm=False), dtype=np.float32)
        return rows
