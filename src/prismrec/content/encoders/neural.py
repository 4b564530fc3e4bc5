"""What encoders that are neural networks share: the device, the precision, and batches that fit into memory."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from prismrec.content.encoder import Encoder
from prismrec.ops.device import DeviceName, pick_device
from prismrec.types import FloatArray

_GPU_BATCH = 256
"""Contents in a batch on a GPU; batches shrink if its memory is too small."""


class NeuralEncoder(Encoder):
    """An encoder that runs a network: in half precision on a GPU, in float32 on a CPU.

    On a GPU it starts with large batches and halves them when memory is short. On a CPU the size is fixed, so that the
    same contents give the same bytes.
    """

    takes_device: ClassVar[bool] = True

    def place(self, network: nn.Module, device: DeviceName) -> None:
        """Put the network on the device, for inference."""
        self.device = pick_device(device)
        self.dtype = torch.float32 if self.device.type == "cpu" else torch.float16
        self.network = network.eval().requires_grad_(False).to(self.device, self.dtype)
        if self.device.type != "cpu":
            self.batch_size = _GPU_BATCH

    @abstractmethod
    def run(self, batch: Sequence[Any]) -> Tensor:
        """The features of n prepared contents, `[n, F]`."""

    def encode(self, batch: Sequence[Any]) -> FloatArray:
        """The features of n prepared contents, float32 `[n, F]`."""
        rows: list[FloatArray] = []
        start = 0
        while start < len(batch):
            some = batch[start : start + self.batch_size]
            try:
                with torch.inference_mode():
                    rows.append(self.run(some).float().cpu().numpy())
            except torch.OutOfMemoryError:
                if len(some) == 1:
                    raise
                self.batch_size = len(some) // 2
                continue
            start += len(some)
        return np.concatenate(rows)
