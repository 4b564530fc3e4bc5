"""The one training loop, its samplers and its checkpoints; knows models through `Recommender` only."""

from prismrec.training.checkpoint import CheckpointFolder, EpochRecord, Progress
from prismrec.training.processor import ask_for_large_pages, denormals_flushed
from prismrec.training.sampling import Sampler
from prismrec.training.trainer import NonFiniteLossError, Settings, Trained, fit, pick_device

__all__ = [
    "CheckpointFolder",
    "EpochRecord",
    "NonFiniteLossError",
    "Progress",
    "Sampler",
    "Settings",
    "Trained",
    "ask_for_large_pages",
    "denormals_flushed",
    "fit",
    "pick_device",
]
