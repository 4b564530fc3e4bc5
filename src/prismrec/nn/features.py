"""The modality features of a model: constants that follow the model to its device."""

from collections.abc import Iterator, Mapping

import torch.nn.functional as F
from torch import Tensor, nn


class Features(nn.Module):
    """Feature matrices by modality, in declared order; never trained, never saved with the weights.

    Attributes:
        names: the modalities, M of them.
        widths: F_m, the feature width of each.
    """

    def __init__(self, features: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = tuple(features)
        self.widths = tuple(matrix.shape[1] for matrix in features.values())
        # Buffers go by position: a modality may be called "type" or "a.b", a buffer may not.
        for position, matrix in enumerate(features.values()):
            self.register_buffer(f"modality_{position}", matrix, persistent=False)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Tensor]:
        """The matrices `[I, F_m]`, m = 1..M."""
        return (getattr(self, f"modality_{position}") for position in range(len(self)))


def project(features: Tensor, weight: Tensor) -> Tensor:
    """X Wᵀ `[I, d]` of constant features, computed in their precision and returned in that of the weights.

    With features in bfloat16, W and the gradient of the result are rounded to 8 bits of mantissa, products are summed
    up in float32.

    Args:
        features: X `[I, F]`.
        weight: W `[d, F]`; lying down like this it has the faster gradient, gᵀ X instead of Xᵀ g.
    """
    return F.linear(features, weight.to(features.dtype)).to(weight.dtype)
