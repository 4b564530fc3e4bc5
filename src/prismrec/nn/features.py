"""The modality features of a model: constants that follow the model to its device."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class Features(nn.Module):
    """Feature matrices by modality, in the order given. They are neither trained nor saved with the weights.

    Attributes:
        names: the M modalities.
        widths: F_m, the number of columns of each matrix.
    """

    def __init__(self, features: Mapping[str, Tensor]) -> None:
        """Keep the matrices `[I, F_m]` in the default floating-point type; bfloat16 stays as it is."""
        super().__init__()
        self.names = tuple(features)
        self.widths = tuple(matrix.shape[1] for matrix in features.values())
        # Buffers are numbered: a modality may be named "type" or "a.b", a buffer may not.
        for position, matrix in enumerate(features.values()):
            kept = matrix if matrix.dtype == torch.bfloat16 else matrix.to(torch.get_default_dtype())
            self.register_buffer(f"modality_{position}", kept, persistent=False)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Tensor]:
        """The matrices `[I, F_m]`, m = 1..M."""
        for position in range(len(self)):
            yield getattr(self, f"modality_{position}")
