"""Encoders of transformers: CLIP, SigLIP, DINOv2, CLAP and other models, from a folder or the hub."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel, AutoTokenizer

from prismrec.content.encoder import Sound
from prismrec.content.encoders.hub import HubFolder
from prismrec.content.encoders.neural import NeuralEncoder
from prismrec.errors import InputError
from prismrec.ops.device import DeviceName

if TYPE_CHECKING:
    from PIL.Image import Image

_PADDED = ("siglip", "siglip2")
"""Models that were trained with texts of one length."""


class _Model(NeuralEncoder):
    """A model of `AutoModel`, and the width of its features."""

    batch_size = 16

    def __init__(self, place: str, device: DeviceName = "auto") -> None:
        folder = HubFolder(place, "transformers")
        self.version = folder.version
        self.weights = folder.weights
        self.kind = str(folder.config.get("model_type", ""))
        self.folder = str(folder.path)
        network = AutoModel.from_pretrained(self.folder, trust_remote_code=False, use_safetensors=True)
        self.place(network, device)
        self.load_preprocessing()
        self.width = self.encode([self.example()]).shape[1]

    def load_preprocessing(self) -> None:
        """Load what prepares a content, and describe it in `preprocessing`."""

    def example(self) -> Any:
        """A prepared content, to find the width of the features."""

    def joint(self, method: str, **inputs: Tensor) -> Tensor | None:
        """The features of a model for several kinds of content, such as CLIP; None for other models."""
        get_features = getattr(self.network, method, None)
        if get_features is None:
            return None
        rows = get_features(**inputs)
        return rows if isinstance(rows, Tensor) else rows.pooler_output


class ImageModel(_Model):
    """Pictures: projected features of CLIP and SigLIP; else the pooled output, or that of the first token."""

    modality = "image"

    def load_preprocessing(self) -> None:
        """Load the image processor of the model."""
        self._processor = AutoImageProcessor.from_pretrained(self.folder, trust_remote_code=False)
        self.preprocessing = f"as {type(self._processor).__name__} of the model"

    def example(self) -> npt.NDArray[np.float32]:
        """A black picture."""
        from PIL import Image

        return self.prepare(Image.new("RGB", (64, 64)))

    def prepare(self, content: "Image") -> npt.NDArray[np.float32]:
        """The pixels of a picture, `[3, S, S]`."""
        pixels: npt.NDArray[np.float32] = self._processor(content, return_tensors="np")["pixel_values"][0]
        return np.asarray(pixels, dtype=np.float32)

    def run(self, batch: Sequence[npt.NDArray[np.float32]]) -> Tensor:
        """The features of pictures."""
        pixels = torch.from_numpy(np.stack(batch)).to(self.device, self.dtype)  # [n, 3, S, S]
        rows = self.joint("get_image_features", pixel_values=pixels)
        if rows is not None:
            return rows
        output = self.network(pixel_values=pixels)
        pooled = getattr(output, "pooler_output", None)
        return output.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)


class TextModel(_Model):
    """Texts: projected features of CLIP and SigLIP; else the mean of the last hidden states."""

    modality = "text"

    def load_preprocessing(self) -> None:
        """Load the tokenizer of the model."""
        self._tokenizer = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
        config = getattr(self.network.config, "text_config", self.network.config)
        limits = [self._tokenizer.model_max_length, getattr(config, "max_position_embeddings", 512)]
        self._longest = int(min(limits))
        self.preprocessing = f"at most {self._longest} tokens"

    def example(self) -> str:
        """A short text."""
        return "a"

    def run(self, batch: Sequence[str]) -> Tensor:
        """The features of texts."""
        padding = "max_length" if self.kind in _PADDED else True
        tokens = self._tokenizer(
            list(batch), padding=padding, truncation=True, max_length=self._longest, return_tensors="pt"
        ).to(self.device)
        known = {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}
        rows = self.joint("get_text_features", **known)
        if rows is not None:
            return rows
        states = self.network(**known).last_hidden_state  # [n, T, F]
        weights = known["attention_mask"].unsqueeze(2).to(states.dtype)  # [n, T, 1]
        return (states * weights).sum(1) / weights.sum(1)


class AudioModel(_Model):
    """Sounds: projected features of CLAP; else the mean of the last hidden states."""

    modality = "audio"

    def load_preprocessing(self) -> None:
        """Load the feature extractor of the model."""
        self._extractor = AutoFeatureExtractor.from_pretrained(self.folder, trust_remote_code=False)
        self._rate = int(self._extractor.sampling_rate)
        self._longest = int(getattr(self._extractor, "nb_max_samples", 30 * self._rate))
        seconds = self._longest / self._rate
        self.preprocessing = f"{self._rate} Hz, first {seconds:g} s, as {type(self._extractor).__name__} of the model"

    def example(self) -> dict[str, npt.NDArray[np.float32]]:
        """A second of noise."""
        noise = np.random.default_rng(0).normal(0, 0.1, self._rate).astype(np.float32)
        return self.prepare(Sound(noise, self._rate))

    def prepare(self, content: Sound) -> dict[str, npt.NDArray[np.float32]]:
        """What the model takes of a sound."""
        import librosa

        samples = librosa.resample(content.samples, orig_sr=content.rate, target_sr=self._rate)
        samples = samples[: self._longest]  # the extractor would take a random part
        inputs = self._extractor(samples, sampling_rate=self._rate, return_tensors="np")
        name = "input_features" if "input_features" in inputs else "input_values"
        return {name: np.asarray(inputs[name][0], dtype=np.float32)}

    def run(self, batch: Sequence[dict[str, npt.NDArray[np.float32]]]) -> Tensor:
        """The features of sounds."""
        rows = []
        for content in batch:
            inputs = {
                name: torch.from_numpy(array[None]).to(self.device, self.dtype) for name, array in content.items()
            }
            found = self.joint("get_audio_features", **inputs)
            if found is None:
                found = self.network(**inputs).last_hidden_state.mean(1)
            rows.append(found)
        return torch.cat(rows)


MODELS: dict[str, type[_Model]] = {"image": ImageModel, "text": TextModel, "audio": AudioModel}


def make_model(place: str, modality: str | None, device: DeviceName) -> NeuralEncoder:
    """The encoder of one kind of content that a model has.

    Raises:
        InputError: the kind is not given, or what `HubFolder` refuses.
    """
    if modality is None:
        raise InputError(f"encoder transformers:{place}", "no kind of content", "text, image or audio as modality")
    return MODELS[modality](place, device)
