"""musicnn (Pons & Serra, "musicnn: Pre-trained convolutional neural networks for music audio tagging", 2019).

The weights are those of the package musicnn, model MSD_musicnn, trained on the Million Song Dataset. The package needs
TensorFlow 1; here its checkpoint is read without it, and the network is written in PyTorch.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prismrec.content.encoder import Sound, UnreadableError
from prismrec.content.encoders.neural import NeuralEncoder
from prismrec.content.encoders.tf_checkpoint import read_checkpoint
from prismrec.content.hashes import hash_files
from prismrec.ops.device import DeviceName

_RATE = 16_000
_WINDOW = 512
_HOP = 256
_MELS = 96
_FRAMES = 187  # of a patch of 3 s
_EPSILON = 1e-3  # of a batch normalisation in TensorFlow
_LEAST_SECONDS = 0.1
_PATCHES_AT_ONCE = 16


class Musicnn(NeuralEncoder):
    """200 columns: the penultimate layer of a network that tags music, averaged over patches of 3 seconds."""

    name = "musicnn"
    modality = "audio"
    width = 200
    preprocessing = "16 kHz, 96 mels, log10(10000 x + 1), patches of 3 s; mean over patches"
    batch_size = 4

    def __init__(self, device: DeviceName = "auto") -> None:
        found = find_spec("musicnn")
        if found is None or found.origin is None:
            raise ModuleNotFoundError("No module named 'musicnn'")
        folder = Path(found.origin).parent / "MSD_musicnn"
        index, data = folder / ".index", folder / ".data-00000-of-00001"
        self.version = version("musicnn")
        self.weights = hash_files([index, data])
        self.place(Network(read_checkpoint(index, data)), device)

    def prepare(self, content: Sound) -> npt.NDArray[np.float32]:
        """The patches of the logarithmic mel spectrogram, `[P, 187, 96]`. A short sound is repeated to fill one."""
        if len(content.samples) < _LEAST_SECONDS * content.rate:
            raise UnreadableError(f"less than {_LEAST_SECONDS} s")
        samples = librosa.resample(content.samples, orig_sr=content.rate, target_sr=_RATE)
        mels = librosa.feature.melspectrogram(y=samples, sr=_RATE, hop_length=_HOP, n_fft=_WINDOW, n_mels=_MELS).T
        spectrogram = np.log10(10_000 * mels + 1).astype(np.float32)  # [T, 96]
        if len(spectrogram) < _FRAMES:
            spectrogram = np.tile(spectrogram, (-(-_FRAMES // len(spectrogram)), 1))
        count = len(spectrogram) // _FRAMES
        return spectrogram[: count * _FRAMES].reshape(count, _FRAMES, _MELS)

    def run(self, batch: Sequence[npt.NDArray[np.float32]]) -> Tensor:
        """The mean of the features of the patches of each sound."""
        rows = []
        for patches in batch:
            pieces = torch.from_numpy(patches).to(self.device, self.dtype).split(_PATCHES_AT_ONCE)
            rows.append(torch.cat([self.network(piece) for piece in pieces]).mean(0))
        return torch.stack(rows)


class Network(nn.Module):
    """The network up to its penultimate layer. Layers are numbered as TensorFlow numbered them."""

    def __init__(self, variables: Mapping[str, npt.NDArray[np.float32]]) -> None:
        super().__init__()
        weights = {name: values for name, values in variables.items() if name.count("/") == 1}  # no state of Adam
        for name, values in weights.items():
            self.register_buffer(name.replace("/", "__"), torch.from_numpy(values.copy()))

    def forward(self, x: Tensor) -> Tensor:
        """The features of patches `[n, 187, 96]`: `[n, 200]`."""
        x = self._normalise(x.unsqueeze(1), 0)  # [n, 1, T, 96]
        wide = F.pad(x, (0, 0, 3, 3))
        timbral = [self._convolve(wide, 0), self._convolve(wide, 1)]
        temporal = [self._convolve(self._same(x, length), 2 + i) for i, length in enumerate((128, 64, 32))]
        blocks = [self._normalise(block, 1 + i).amax(3) for i, block in enumerate([*timbral, *temporal])]
        front = torch.cat(blocks, 1).transpose(1, 2).unsqueeze(1)  # [n, 1, T, 561]
        first = self._middle(front, 5)  # [n, 1, T, 64]
        second = self._middle(first, 6) + first
        third = self._middle(second, 7) + second
        features = torch.cat([front, first, second, third], 3).squeeze(1)  # [n, T, 753]
        pooled = torch.stack([features.amax(1), features.mean(1)], 2).flatten(1)  # [n, 1506], max and mean in turn
        dense = self._normalise(pooled, 9) @ self._get("dense", "kernel") + self._get("dense", "bias")
        return self._normalise(dense.relu(), 10)

    def _middle(self, x: Tensor, number: int) -> Tensor:
        """A convolution over 7 frames and all features: `[n, 1, T, F]` becomes `[n, 1, T, 64]`."""
        convolved = self._convolve(F.pad(x, (0, 0, 3, 3)), number)  # [n, 64, T, 1]
        return self._normalise(convolved, number + 1).permute(0, 3, 2, 1)

    def _same(self, x: Tensor, length: int) -> Tensor:
        """Zeros before and behind, so that a convolution over `length` frames keeps their number."""
        before = (length - 1) // 2
        return F.pad(x, (0, 0, before, length - 1 - before))

    def _convolve(self, x: Tensor, number: int) -> Tensor:
        layer = "conv2d" if number == 0 else f"conv2d_{number}"
        kernel = self._get(layer, "kernel").permute(3, 2, 0, 1)  # [out, in, frames, mels]
        return F.conv2d(x, kernel, self._get(layer, "bias")).relu()

    def _normalise(self, x: Tensor, number: int) -> Tensor:
        layer = "batch_normalization" if number == 0 else f"batch_normalization_{number}"
        mean = self._get(layer, "moving_mean")
        variance = self._get(layer, "moving_variance")
        return F.batch_norm(x, mean, variance, self._get(layer, "gamma"), self._get(layer, "beta"), eps=_EPSILON)

    def _get(self, layer: str, name: str) -> Tensor:
        return self.get_buffer(f"{layer}__{name}")
