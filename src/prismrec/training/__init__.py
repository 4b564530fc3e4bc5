"""The one training loop and its parts; it knows models through `Recommender` only."""

from prismrec.training.callbacks import Callback, EpochEnd, TrainingEnd, TrainingStart
from prismrec.training.checkpoint import CheckpointFolder, Progress
from prismrec.training.custom import LossTerm, TripletSampler, name_of
from prismrec.training.divergence import DivergenceError
from prismrec.training.optimizer import Adam
from prismrec.training.sampling import Sampler
from prismrec.training.trainer import Trained, Validate, fit

__all__ = [
    "Adam",
    "Callback",
    "CheckpointFolder",
    "DivergenceError",
    "EpochEnd",
    "LossTerm",
    "Progress",
    "Sampler",
    "Trained",
    "TrainingEnd",
    "TrainingStart",
    "TripletSampler",
    "Validate",
    "fit",
    "name_of",
]
