"""The one training loop, its sampler, optimiser and checkpoints; it knows models through `Recommender` only."""

from prismrec.training.checkpoint import CheckpointFolder, Progress
from prismrec.training.optimizer import Adam
from prismrec.training.sampling import Sampler
from prismrec.training.trainer import NonFiniteLossError, Trained, Validate, fit

__all__ = ["Adam", "CheckpointFolder", "NonFiniteLossError", "Progress", "Sampler", "Trained", "Validate", "fit"]
