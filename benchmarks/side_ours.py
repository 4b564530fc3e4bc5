"""prismrec's side of benchmarks/peer.py: one model on one data set, an epoch or an evaluation at each command.

Commands come as lines on standard input: `epoch`, `evaluate`, `quit`. Answers go as lines of JSON to standard output.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from measured import Clock

import prismrec
from prismrec.experiments.bench import evaluate_once, peak_bytes
from prismrec.experiments.train import build_model, make_config
from prismrec.process import ask_for_large_pages
from prismrec.records import EpochRecord, Settings
from prismrec.training import fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--model", "--config", "--threads"):
        parser.add_argument(name, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(int(args.threads))
    ask_for_large_pages()  # as the command line does
    imported = peak_bytes()
    dataset = prismrec.load(args.data)
    clock = Clock(args.device)
    settings = Settings(epochs=10_000, precision=args.precision, device=args.device)
    model = build_model(args.model, dataset, make_config(args.model, json.loads(args.config)), settings)
    answer({"imported_bytes": imported, "build": clock.read()})

    def serve(finished: EpochRecord | None = None) -> None:
        """Whatever is asked before the next epoch; the trainer calls this when one is done."""
        nonlocal clock
        if finished is not None:
            answer(clock.read())
        for line in sys.stdin:
            command, clock = line.strip(), Clock(args.device)
            if command == "epoch":
                return
            if command == "evaluate":
                scores = evaluate_once(model, dataset.train, dataset.valid)
                answer({**clock.read(), "recall@20": scores["recall@20"]})
            if command == "quit":
                answer({"peak_bytes": peak_bytes() if args.device == "cpu" else torch.cuda.max_memory_reserved()})
        sys.exit()

    serve()
    fit(model, dataset.train, settings, report=serve)


def answer(values: dict[str, object]) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
