"""The prismrec process of benchmarks/peer.py: trains one model on one data set, one epoch per command.

It reads the commands `epoch`, `evaluate` and `quit` from standard input, one per line, and answers each with one line
of JSON on standard output.
"""

import argparse
import json
import sys
from pathlib import Path

import prismrec  # isort: skip  # before torch, so that it can limit the number of threads

import torch
from measured import Clock

from prismrec.data import Dataset
from prismrec.experiments.bench import evaluate_once, peak_bytes
from prismrec.experiments.train import build_model, make_config
from prismrec.models import Recommender
from prismrec.process import request_large_pages, retain_freed_memory
from prismrec.records import Settings
from prismrec.training import Callback, EpochEnd, fit


class Server(Callback):
    """Answers the commands; the trainer calls `on_epoch` after each epoch."""

    def __init__(self, model: Recommender, dataset: Dataset, device: str) -> None:
        self.model = model
        self.dataset = dataset
        self.device = device
        self.clock = Clock(device)

    def on_epoch(self, _: EpochEnd) -> None:
        """Report the time of the epoch, then wait until the next epoch is wanted."""
        answer(self.clock.read())
        self.wait_for_epoch()

    def wait_for_epoch(self) -> None:
        """Answer commands until one asks for an epoch; exit when there are no more commands."""
        for line in sys.stdin:
            command = line.strip()
            self.clock = Clock(self.device)
            if command == "epoch":
                return
            if command == "evaluate":
                scores = evaluate_once(self.model, self.dataset.train, self.dataset.valid)
                answer({**self.clock.read(), "recall@20": scores["recall@20"]})
            if command == "quit":
                answer({"peak_bytes": self.peak_bytes()})
        sys.exit()

    def peak_bytes(self) -> int | None:
        """Peak memory of the process, or of PyTorch on the GPU."""
        return peak_bytes() if self.device == "cpu" else torch.cuda.max_memory_reserved()


def answer(values: dict[str, object]) -> None:
    print(json.dumps(values), flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name of the model")
    parser.add_argument("--config", required=True, help="hyperparameters as JSON")
    parser.add_argument("--threads", type=int, help="without it, prismrec and PyTorch choose")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    retain_freed_memory()  # as the command line does
    request_large_pages()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    imported = peak_bytes()
    dataset = prismrec.load(args.data)
    clock = Clock(args.device)
    settings = Settings(epochs=10_000, precision=args.precision, device=args.device)
    model = build_model(args.model, dataset, make_config(args.model, json.loads(args.config)), settings)
    answer({"imported_bytes": imported, "build": clock.read(), "threads": torch.get_num_threads()})
    server = Server(model, dataset, args.device)
    server.wait_for_epoch()
    fit(model, dataset.train, settings, callbacks=[server])


if __name__ == "__main__":
    main()
