"""The modality features of a model: constants that follow the model to its device."""

from collections.abc import Iterator, Mapping

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
