"""prismrec: multimodal recommendation, from a folder of data to a ranking.

import prismrec

data = prismrec.load("shop")
run = prismrec.train("LGMRec", data, out="runs/shop")
print(run.evaluate("test")["recall@20"])
print(run.recommend("u0001", k=10))
"""

from importlib import import_module
from typing import TYPE_CHECKING

from prismrec.errors import InputError
from prismrec.process import limit_threads

if TYPE_CHECKING:
    from prismrec.content import encode
    from prismrec.data import Dataset, SplitSpec, dataset, from_csr, load
    from prismrec.evaluation import Evaluation, evaluate
    from prismrec.experiments.refit import refit
    from prismrec.experiments.train import train
    from prismrec.experiments.tune import tune
    from prismrec.experiments.update import update
    from prismrec.models import REGISTRY as MODELS
    from prismrec.records import Settings
    from prismrec.runs import Run, compare_runs
    from prismrec.training import Callback
    from prismrec.types import Embeddings, Interactions, Triplets, Vocabulary

    __version__: str

_HOMES = {
    "Callback": "prismrec.training",
    "MODELS": "prismrec.models",
    "Dataset": "prismrec.data",
    "Embeddings": "prismrec.types",
    "Evaluation": "prismrec.evaluation",
    "Interactions": "prismrec.types",
    "Run": "prismrec.runs",
    "Settings": "prismrec.records",
    "SplitSpec": "prismrec.data",
    "Triplets": "prismrec.types",
    "Vocabulary": "prismrec.types",
    "compare_runs": "prismrec.runs",
    "dataset": "prismrec.data",
    "encode": "prismrec.content",
    "evaluate": "prismrec.evaluation",
    "from_csr": "prismrec.data",
    "load": "prismrec.data",
    "refit": "prismrec.experiments.refit",
    "train": "prismrec.experiments.train",
    "tune": "prismrec.experiments.tune",
    "update": "prismrec.experiments.update",
}

__all__ = [
    "MODELS",
    "Callback",
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
    "compare_runs",
    "dataset",
    "encode",
    "evaluate",
    "from_csr",
    "load",
    "refit",
    "train",
    "tune",
    "update",
]

limit_threads()  # PyTorch reads the number when it is loaded


def __getattr__(name: str) -> object:
    """Import a name on first use, so that `import prismrec` does not load PyTorch."""
    if name == "__version__":
        from importlib.metadata import version

        return version("prismrec")
    if name not in _HOMES:
        raise AttributeError(f"module 'prismrec' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), "REGISTRY" if name == "MODELS" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
