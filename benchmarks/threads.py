"""Which models give the same embeddings, bit for bit, with one thread and with two? A CPU is used.

    python benchmarks/threads.py [--models NAME …] [--epochs 3]

The data are random, with the sizes of `tiktok`. The exit code is 1 if a model differs.
"""

import argparse
import hashlib
import sys

import torch

from prismrec.data import Dataset
from prismrec.experiments.synthetic import random_dataset
from prismrec.experiments.train import train
from prismrec.models import REGISTRY
from prismrec.records import Settings
from prismrec.types import Embeddings

SIZES = {"users": 9308, "items": 6710, "pairs": 59541}
WIDTHS = {"image": 128, "audio": 128, "text": 768}


def embeddings_of(model: str, data: Dataset, epochs: int, threads: int) -> Embeddings:
    """The embeddings of a model after some epochs with a number of threads."""
    torch.set_num_threads(threads)
    settings = Settings(epochs=epochs, validate_every=epochs, device="cpu")
    return train(model, data, settings=settings).embeddings


def digest(embeddings: Embeddings) -> str:
    """A hash of the bits of both matrices."""
    users = embeddings.users.numpy().tobytes()
    items = embeddings.items.numpy().tobytes()
    return hashlib.sha256(users + items).hexdigest()


def main() -> int:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(REGISTRY), default=list(REGISTRY))
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    data = random_dataset(**SIZES, widths=WIDTHS)
    differing = 0
    for model in options.models:
        one = embeddings_of(model, data, options.epochs, 1)
        two = embeddings_of(model, data, options.epochs, 2)
        same = digest(one) == digest(two)
        difference = max((one.users - two.users).abs().max(), (one.items - two.items).abs().max())
        print(f"{model:14} {'same' if same else 'differs'}  largest difference {float(difference):.1e}", flush=True)
        differing += not same
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
