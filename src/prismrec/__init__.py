"""prismrec: multimodal recommendation, from a folder of data to a ranking.

import prismrec
data = prismrec.load("shop")
run = prismrec.train("LGMRec", data, out="runs/shop")
print(run.evaluate("test")["recall@20"])
print(run.recommend("u0001", k=10))
"""

from importlib.metadata import version

from prismrec.data import Dataset, SplitSpec, load
from prismrec.errors import InputError
from prismrec.evaluation import Evaluation, evaluate
from prismrec.experiments.run import Run
from prismrec.experiments.train import train
from prismrec.models import REGISTRY as MODELS
from prismrec.training import Settings
from prismrec.types import Embeddings, Interactions, Triplets, Vocabulary

__version__ = version("prismrec")

__all__ = [
    "MODELS",
    "Dataset",
    "Embeddings",
    "Evaluation",
    "InputError",
    "Interactions",
    "Run",
    "Settings",
    "SplitSpec",
    "Triplets",
    "Vocabulary",
    "evaluate",
    "load",
    "train",
]
