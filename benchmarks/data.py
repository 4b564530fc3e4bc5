"""The data sets that both sides read, in the MMRec layout.

    python benchmarks/data.py --data ../shared/data --work /tmp/bench [tiktok baby clothing]

`tiktok` as it is (features as float32), `baby` with random features, `clothing` made up with random features, and
`clothing-82` and `clothing-half`, 82 % and half as many of everything, for what does not fit into memory. A folder that
exists is left alone.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

import prismrec
from prismrec.data import Dataset, write_mmrec
from prismrec.experiments.synthetic import random_dataset, random_features

WIDE = {"image": 4096, "text": 384}
"""The widths of the published features of the Amazon sets."""
MADE_UP = {
    "clothing": (39_387, 23_033, 197_338),
    "clothing-82": (32_297, 18_887, 161_817),
    "clothing-half": (19_693, 11_516, 98_669),
}
"""Users, items, training pairs."""
NAMES = ("tiktok", "baby", *MADE_UP)


def make(name: str, source: Path | None, out: Path) -> None:
    if out.exists():
        return
    if name in MADE_UP:
        dataset = random_dataset(*MADE_UP[name], WIDE)
    else:
        if source is None:
            raise SystemExit(f"{name} is made from real interactions: say where with --data")
        dataset = prismrec.load(source / name)
        dataset = dataset if name == "tiktok" else with_features(dataset)
    write_mmrec(dataset, out)


def with_features(dataset: Dataset) -> Dataset:
    features = random_features(len(dataset.items), WIDE)
    present = {name: np.ones(len(dataset.items), dtype=np.bool_) for name in features}
    return dataclasses.replace(dataset, features=features, present=present)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--data", type=Path, help="folder with tiktok/ and baby/")
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    for name in args.names:
        make(name, args.data, args.work / name)


if __name__ == "__main__":
    main()
