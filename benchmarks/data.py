"""Write the data sets of the benchmarks in MMRec's layout, which both libraries read.

    python benchmarks/data.py --data ../shared/data --work /tmp/bench [tiktok baby clothing]

- `tiktok`: the real data, features as float32.
- `baby`: real interactions, random features.
- `clothing`: random interactions and features in the size of Amazon Clothing.
- `clothing-82`, `clothing-half`: the same with 82 % and 50 % of the users, items and pairs, for comparisons that need
  too much memory in the full size.

A folder that exists is not written again. With `--random`, `tiktok` and `baby` are random data of the same sizes, for
machines without the real data.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

import prismrec
from prismrec.data import Dataset, write_mmrec
from prismrec.experiments.synthetic import random_dataset, random_features

WIDTHS = {"image": 4096, "text": 384}
"""Widths of the published features of the Amazon data sets."""
RANDOM = {
    "clothing": (39_387, 23_033, 197_338),
    "clothing-82": (32_297, 18_887, 161_817),
    "clothing-half": (19_693, 11_516, 98_669),
}
"""Users, items and training pairs."""
RANDOM_TWINS = {"tiktok": (9_308, 6_710, 59_541), "baby": (19_445, 7_050, 118_551)}
"""The same of the real data sets, for --random."""
TIKTOK_WIDTHS = {"image": 128, "audio": 128}
NAMES = ("tiktok", "baby", *RANDOM)


def make(name: str, source: Path | None, out: Path, *, twins: bool = False) -> None:
    """Write one data set, unless its folder exists; with `twins`, random data instead of real ones."""
    if out.exists():
        return
    sizes = RANDOM | RANDOM_TWINS if twins else RANDOM
    if name in sizes:
        write_mmrec(random_dataset(*sizes[name], TIKTOK_WIDTHS if name == "tiktok" else WIDTHS), out)
        return
    if source is None:
        raise SystemExit(f"{name} has real interactions: give their folder with --data, or --random")
    dataset = prismrec.load(source / name)
    write_mmrec(dataset if name == "tiktok" else with_random_features(dataset), out)


def with_random_features(dataset: Dataset) -> Dataset:
    """The same interactions with random features for all items."""
    features = random_features(len(dataset.items), WIDTHS)
    present = {name: np.ones(len(dataset.items), dtype=np.bool_) for name in features}
    return dataclasses.replace(dataset, features=features, present=present)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--data", type=Path, help="folder with tiktok/ and baby/")
    parser.add_argument("--random", action="store_true", help="random data in the sizes of tiktok and baby")
    parser.add_argument("--work", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    for name in args.names:
        make(name, args.data, args.work / name, twins=args.random)


if __name__ == "__main__":
    main()
