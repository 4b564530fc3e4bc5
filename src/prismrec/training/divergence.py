"""Training that diverges is refused after the epoch in which it does."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from prismrec.errors import InputError

_LARGEST_WEIGHT = 1e18
"""Products of larger weights leave the range of float32."""
_EXPECTED = "try a lower learning_rate, or features of smaller scale"


class DivergenceError(InputError):
    """A loss term or a weight became NaN, infinite, or too large to compute with."""


def check_loss(means: Mapping[str, float], epoch: int) -> None:
    """Check the mean of each loss term over an epoch.

    Raises:
        DivergenceError: one is NaN or infinite.
    """
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise DivergenceError(f"loss term {name!r}, epoch {epoch}", str(mean), f"a finite number: {_EXPECTED}")


@torch.no_grad()
def check_weights(weights: Sequence[Tensor], epoch: int) -> None:
    """Check trained weights after an epoch. The last step of an epoch may spoil them without a trace in its loss.

    Raises:
        DivergenceError: one is NaN, infinite or larger than 1e18.
    """
    extremes = [torch.stack(weight.aminmax()).float() for weight in weights if weight.numel()]
    largest = float(torch.stack(extremes).abs().amax()) if extremes else 0.0
    if not largest <= _LARGEST_WEIGHT:
        raise DivergenceError(f"weights, epoch {epoch}", f"{largest:.3g}", f"at most {_LARGEST_WEIGHT:g}: {_EXPECTED}")
