"""Compare rules of early stopping on validation curves that were recorded far beyond their best epoch.

    python benchmarks/stopping.py run --data ../shared/data --work /tmp/bench [--only tiktok/LGMRec] [--seeds 1]
    python benchmarks/stopping.py table --work benchmarks
    python benchmarks/stopping.py held_out --work benchmarks

`run` trains every model with its default hyperparameters and without early stopping, on tiktok and, if it needs no
features, on baby. It appends one curve per model, data set and seed to WORK/curves.jsonl and skips those that are
there: validation recall@20 after each epoch, and test recall@20 after each epoch that is better than all before.
`table` prints what each rule loses and costs. `held_out` chooses a rule on some of the curves and shows what it loses
on the others.

A curve is continued beyond its end by the mean of its last ten scores, up to the 1,000 epochs of the default limit.
"""

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from measured import Command, append, lines, markdown, run_command

import prismrec
from prismrec.models import REGISTRY
from prismrec.records import Settings
from prismrec.stopping import out_of_patience

LIMIT = Settings().epochs
UNTRAINED = ("most-popular", "Spectral")
"""Models without epochs."""
BAD = 0.05
"""A loss of more than this share of the recall is too much."""
METRIC = "recall@20"


@dataclass(frozen=True)
class Curve:
    """The scores of one run.

    Attributes:
        data: name of the data set.
        model: name of the model.
        valid: validation recall by epoch, continued to the limit.
        length: the number of recorded epochs.
        best: the highest recall before the continuation.
        test: test recall by epoch, 0 after epochs that are not the best so far.
    """

    data: str
    model: str
    valid: np.ndarray
    length: int
    best: float
    test: np.ndarray

    @classmethod
    def from_line(cls, line: dict) -> "Curve":
        scores = np.array(line["valid"])
        test = np.zeros(LIMIT)
        test[[int(epoch) - 1 for epoch in line["test"]]] = list(line["test"].values())
        later = np.full(LIMIT - len(scores), scores[-10:].mean())
        return cls(line["data"], line["model"], np.concatenate([scores, later]), len(scores), scores.max(), test)


Rule = Callable[[np.ndarray], np.ndarray]
"""From scores by epoch to whether training may stop after each epoch."""


def best_epochs(scores: np.ndarray) -> np.ndarray:
    """After each epoch, the epoch of the best score so far, from 1."""
    is_best = np.concatenate([[True], scores[1:] > np.maximum.accumulate(scores)[:-1]])
    return np.maximum.accumulate(np.where(is_best, np.arange(1, len(scores) + 1), 0))


def patience(least: int, share: float = 0.0, window: int = 1) -> Rule:
    """Stop after `least` epochs, or `share` of those up to the best, without a better mean of `window` scores."""

    def rule(scores: np.ndarray) -> np.ndarray:
        means = np.convolve(scores, np.ones(window) / window)[: len(scores)]
        means[: window - 1] = 0  # not enough scores yet
        best = best_epochs(means)
        return np.arange(1, len(scores) + 1) - best >= np.maximum(least, share * best)

    return rule


def generalisation_loss(share: float) -> Rule:
    """Prechelt's GL: stop as soon as a score is this share below the best one."""
    return lambda scores: scores < (1 - share) * np.maximum.accumulate(scores)


def successive_drops(count: int, strip: int = 5) -> Rule:
    """Prechelt's UP: stop after `count` strips of epochs, each of which ends with a lower score than the one before."""

    def rule(scores: np.ndarray) -> np.ndarray:
        drops = np.zeros(len(scores), dtype=int)
        for epoch in range(strip, len(scores)):
            drops[epoch] = drops[epoch - strip] + 1 if scores[epoch] < scores[epoch - strip] else 0
        return drops >= count

    return rule


def auto(scores: np.ndarray) -> np.ndarray:
    """The rule of prismrec itself."""
    best = best_epochs(scores)
    settings = Settings(patience="auto")
    epochs = range(1, len(scores) + 1)
    return np.array([out_of_patience(settings, epoch, at, epoch - at) for epoch, at in zip(epochs, best, strict=True)])


RULES: dict[str, Rule] = {
    "patience 20, the earlier default": patience(20),
    "patience 30": patience(30),
    "patience 50": patience(50),
    "patience 60": patience(60),
    "patience 100": patience(100),
    "patience 20 for the mean of 5 validations": patience(20, window=5),
    "patience 30 for the mean of 10 validations": patience(30, window=10),
    "GL: 10 % below the best (Prechelt)": generalisation_loss(0.1),
    "UP: 4 successive drops over 5 epochs (Prechelt)": successive_drops(4),
    "patience max(30, best epoch / 2)": patience(30, 0.5),
    "patience max(40, best epoch / 2)": patience(40, 0.5),
    "patience max(50, best epoch / 4)": patience(50, 0.25),
    "**`auto`: patience max(50, best epoch / 2)**": auto,
    "patience max(50, best epoch)": patience(50, 1.0),
}
LEASTS, SHARES = (10, 20, 30, 40, 50, 60, 80, 100), (0.0, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Outcome:
    """What a rule does to a run: the epoch at which it stops, and the shares of the recall that it loses."""

    epochs: int
    valid_loss: float
    test_loss: float


def apply(rule: Rule, curve: Curve) -> Outcome:
    stops = np.flatnonzero(rule(curve.valid))
    epochs = int(stops[0]) + 1 if len(stops) else LIMIT
    best = best_epochs(curve.valid)
    chosen, reference = best[epochs - 1] - 1, best[-1] - 1
    return Outcome(epochs, 1 - curve.valid[chosen] / curve.best, 1 - curve.test[chosen] / curve.test[reference])


def run(args: argparse.Namespace) -> None:
    """Record the curves that WORK/curves.jsonl does not have yet."""
    path = args.work / "curves.jsonl"
    known = {(line["data"], line["model"], line["seed"]) for line in lines(path)}
    datasets = {name: prismrec.load(args.data / name) for name in ("tiktok", "baby")}
    models = [name for name in REGISTRY if name not in UNTRAINED]
    for seed, (data, dataset), model in itertools.product(range(args.seeds), datasets.items(), models):
        usable = dataset.features or not REGISTRY[model].takes_features
        if usable and (data, model, seed) not in known and (not args.only or f"{data}/{model}" in args.only):
            settings = Settings(seed=seed, epochs=args.epochs, patience=args.epochs, device=args.device)
            append(path, {"data": data, "model": model, "seed": seed, **record(model, dataset, settings)})


def record(model: str, dataset: prismrec.Dataset, settings: Settings) -> dict:
    """Train without early stopping; the scores by epoch."""
    from prismrec.evaluation import evaluate
    from prismrec.experiments.train import build_model, make_config
    from prismrec.ops.device import pick_device
    from prismrec.training import fit
    from prismrec.types import Embeddings

    valid: list[float] = []
    test: dict[int, float] = {}

    def validate(embeddings: Embeddings) -> dict[str, float]:
        def score(split: prismrec.Interactions) -> float:
            return evaluate(embeddings, split, mask=[dataset.train], metrics=["recall"], cutoffs=[20])[METRIC]

        valid.append(round(score(dataset.valid), 5))
        if valid[-1] > max(valid[:-1], default=-1.0):
            test[len(valid)] = round(score(dataset.test), 5)
        return {METRIC: valid[-1]}

    built = build_model(model, dataset, make_config(model, {}), settings)
    history = fit(built, dataset.train, settings, validate).progress.history
    seconds = [epoch.seconds for epoch in history]
    return {
        "device": pick_device(settings.device).type,
        "epoch_seconds": round(median(seconds), 4),
        "valid": valid,
        "test": test,
    }


def load_curves(work: Path) -> list[Curve]:
    return [Curve.from_line(line) for line in lines(work / "curves.jsonl")]


def table(args: argparse.Namespace) -> None:
    """Print what each rule loses against the best epoch of the whole curve, and the epochs that it takes."""
    curves = load_curves(args.work)
    columns = ["rule", "epochs", "too short", "recall lost: mean", "worst", "over 5 %", "test recall lost: mean"]
    rows = []
    for name, rule in RULES.items():
        outcomes = [apply(rule, curve) for curve in curves]
        losses = [outcome.valid_loss for outcome in outcomes]
        too_short = sum(outcome.epochs > curve.length for outcome, curve in zip(outcomes, curves, strict=True))
        row = [f"{np.mean([outcome.epochs for outcome in outcomes]):.0f}", str(too_short), percent(np.mean(losses), 2)]
        row += [percent(max(losses)), str(sum(loss > BAD for loss in losses))]
        rows.append([name, *row, percent(np.mean([outcome.test_loss for outcome in outcomes]), 2)])
    print(markdown(columns, rows))


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def held_out(args: argparse.Namespace) -> None:
    """Choose the cheapest rule without a bad loss on some curves; print what it and auto lose on the others."""
    curves = load_curves(args.work)
    rows = []
    for kind, attribute in (("data set", "data"), ("model", "model")):
        for name in dict.fromkeys(getattr(curve, attribute) for curve in curves):
            least, share = cheapest([curve for curve in curves if getattr(curve, attribute) != name])
            others = [curve for curve in curves if getattr(curve, attribute) == name]
            losses = [max(apply(rule, curve).valid_loss for curve in others) for rule in (patience(least, share), auto)]
            rule = f"max({least}, {share:g} best epoch)"
            rows.append([f"{kind} {name}", rule, *map(percent, losses)])
    print(markdown(["held out", "cheapest on the others", "worst loss", "worst loss of auto"], rows))


def cheapest(curves: list[Curve]) -> tuple[int, float]:
    """Least epochs and share of the cheapest rule without a bad loss."""
    costs = {}
    for least, share in itertools.product(LEASTS, SHARES):
        outcomes = [apply(patience(least, share), curve) for curve in curves]
        if max(outcome.valid_loss for outcome in outcomes) <= BAD:
            costs[least, share] = sum(outcome.epochs for outcome in outcomes)
    return min(costs, key=costs.__getitem__)


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--work", type=Path, required=True, help="folder of curves.jsonl")
    if command is run:
        sub.add_argument("--data", type=Path, required=True, help="folder with tiktok/ and baby/")
        sub.add_argument("--only", nargs="*", help="data sets and models such as tiktok/LGMRec")
        sub.add_argument("--seeds", type=int, default=3, help="number of seeds")
        sub.add_argument("--epochs", type=int, default=400, help="length of the curves")
        sub.add_argument("--device", default="auto", help="auto, cpu or cuda")


if __name__ == "__main__":
    run_command(__doc__, (run, table, held_out), add_options)
