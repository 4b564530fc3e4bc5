"""Measure the encoding of pictures and texts: broken pictures, kills, time and memory.

    python benchmarks/content.py broken --work /tmp/content --pictures 10000
    python benchmarks/content.py kills --work /tmp/content --kills 20
    python benchmarks/content.py normalise --work /tmp/content --folder shop --users 1000
    python benchmarks/content.py memory --work /tmp/content --items 1000000
    python benchmarks/content.py speed --work /tmp/content --folder shop -- --text title --text-encoder wordllama

`broken` makes small pictures, breaks 3 % of them in ten ways, encodes all with the built-in encoder, and counts which
broken ones the report lists. `kills` encodes 2,000 pictures, kills the process at random moments, and compares its
files with those of an uninterrupted encoding. `normalise` trains models on the features of a data set as they are, as
rows of length 1 and standardised, and reports recall@20; a repeated command leaves out what is in `--work`. `memory`
encodes short texts with the built-in encoder and reports the peak memory of the command. `speed` runs `prismrec
features` on a copy of a folder, without the features in it. Each prints JSON.
"""

import argparse
import csv
import dataclasses
import io
import itertools
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
from measured import Command, run_command
from PIL import Image

from prismrec.data import Dataset
from prismrec.records import Normalisation
from prismrec.types import Interactions, Vocabulary

SHARE = 0.03
Break = Callable[[Path, bytes, bytes], None]


def _png_bomb() -> bytes:
    """A PNG that declares 3.6 billion pixels and has none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def _damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + b"\xff\x00\xff\x00" * 4 + content[middle + 16 :]


WAYS: dict[str, Break] = {
    "empty": lambda path, *_: path.touch(),
    "web page": lambda path, *_: _write(path, b"<html>404 Not Found</html>"),
    "truncated JPEG": lambda path, jpeg, _: _write(path, jpeg[: len(jpeg) * 2 // 3]),
    "truncated PNG": lambda path, _, png: _write(path, png[: len(png) * 2 // 3]),
    "damaged PNG": lambda path, _, png: _write(path, _damaged(png)),
    "bomb": lambda path, *_: _write(path, _png_bomb()),
    "PostScript": lambda path, *_: _write(path, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "folder": lambda path, *_: path.mkdir(),
    "dangling link": lambda path, *_: path.symlink_to("nowhere.jpg"),
    "named pipe": lambda path, *_: os.mkfifo(path),
}


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def write_pictures(folder: Path, count: int, share: float = SHARE, seed: int = 0) -> dict[str, str]:
    """Write an item table and small pictures, some of them broken. Returns how, by item id."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    broken = set(rng.permutation(count)[: round(count * share)].tolist())
    ways = list(WAYS)
    made = {}
    for number in range(count):
        image = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        contents = []
        for kind in ("JPEG", "PNG"):
            file = io.BytesIO()
            image.save(file, kind)
            contents.append(file.getvalue())
        path = folder / "images" / f"{number}.jpg"
        if number in broken:
            way = ways[len(made) % len(ways)]
            WAYS[way](path, *contents)
            made[f"i{number}"] = way
        else:
            path.write_bytes(contents[number % 2])
    ids = [f"i{number}" for number in range(count)]
    paths = [f"images/{number}.jpg" for number in range(count)]
    pl.DataFrame({"item_id": ids, "image": paths}).write_csv(folder / "items.csv")
    return made


def reported(report: Path) -> dict[str, str]:
    """Item id → reason, of the items that a report lists as missing or unreadable."""
    with report.open(encoding="utf-8", newline="") as file:
        return {row["item_id"]: row["reason"] for row in csv.DictReader(file) if row["status"] != "note"}


def broken(args: argparse.Namespace) -> None:
    """Encode pictures of which 3 % are broken in ten ways."""
    from prismrec.content import encode

    folder = args.work / "broken"
    shutil.rmtree(folder, ignore_errors=True)
    made = write_pictures(folder, args.pictures)
    start = time.perf_counter()
    encoded = encode(folder, image=["image"], encoders={"image": "histograms"})["image"]
    seconds = time.perf_counter() - start
    found = reported(encoded.report)
    result = {
        "pictures": args.pictures,
        "broken": dict(Counter(made.values())),
        "encoded": encoded.manifest.encoded,
        "reported": dict(Counter(made[item] for item in found if item in made)),
        "reported though whole": sorted(set(found) - set(made)),
        "seconds": round(seconds, 1),
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(result, indent=1))


def kills(args: argparse.Namespace) -> None:
    """Kill an encoding at random moments until it is done, and compare its files with those of a whole one."""
    whole, killed = args.work / "whole", args.work / "killed"
    for folder in (whole, killed):
        shutil.rmtree(folder, ignore_errors=True)
        write_pictures(folder, 2000)
    command = [sys.executable, "-m", "prismrec", "features", "--image-encoder", args.encoder, "--image", "image", "-q"]
    start = time.perf_counter()
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    seconds = time.perf_counter() - start
    expected = _files(whole)
    hits = 0
    same = True
    while hits < args.kills:
        process = subprocess.Popen([*command, str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.1, 1.0) * seconds)
        if process.poll() is None:
            hits += 1
            process.send_signal(signal.SIGKILL)
            process.wait()
        else:  # it has finished: compare, and begin anew
            same = same and _files(killed) == expected
            shutil.rmtree(killed / "features")
    subprocess.run([*command, str(killed)], check=True, capture_output=True)
    same = same and _files(killed) == expected
    print(json.dumps({"kills of a running process": hits, "same bytes": same}))


def _files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in (folder / "features").rglob("*") if path.is_file() and ".cache" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def normalise(args: argparse.Namespace) -> None:
    """Train models on features with each normalisation."""
    from prismrec import Settings, load, train

    dataset = load(args.folder)
    if args.users:
        dataset = some_users(dataset, args.users)
    args.work.mkdir(parents=True, exist_ok=True)
    done = args.work / f"normalise-{dataset.name}.jsonl"
    known = [json.loads(line) for line in done.read_text().splitlines()] if done.exists() else []
    for seed, model, how in itertools.product(range(args.seeds), args.models, get_args(Normalisation)):
        run_of = {"data": dataset.name, "users": len(dataset.users), "model": model, "normalise": how, "seed": seed}
        if any(line.items() >= run_of.items() for line in known):
            continue
        settings = Settings(seed=seed, patience=args.patience, epochs=args.epochs, normalise=how)
        start = time.process_time()
        run = train(model, dataset, settings=settings)
        scores = {split: round(run.evaluate(split)["recall@20"], 4) for split in ("valid", "test")}
        line = {**run_of, **scores, "best epoch": run.best_epoch, "CPU seconds": round(time.process_time() - start)}
        with done.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def some_users(dataset: Dataset, count: int) -> Dataset:
    """The data set with the interactions of some users, drawn at random."""
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(len(dataset.users))[:count])
    number = np.full(len(dataset.users), -1)
    number[chosen] = np.arange(count)

    def part(pairs: Interactions) -> Interactions:
        kept = number[pairs.users] >= 0
        return Interactions.from_pairs(number[pairs.users[kept]], pairs.items[kept], count, len(dataset.items))

    users = Vocabulary(dataset.users.ids.gather(chosen), "user")
    splits = {name: part(getattr(dataset, name)) for name in ("train", "valid", "test")}
    return dataclasses.replace(dataset, users=users, **splits)


def memory(args: argparse.Namespace) -> None:
    """Encode a number of short texts."""
    folder = args.work / f"texts-{args.items}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words = np.array(["red", "green", "blue", "small", "large", "mug", "lamp", "plate", "chair", "table"])
    rng = np.random.default_rng(0)
    with (folder / "items.csv").open("w") as file:
        file.write("item_id,title\n")
        for number in range(args.items):
            file.write(f"i{number},{' '.join(words[rng.integers(0, len(words), 4)])} number {number}\n")
    start = time.perf_counter()
    command = [sys.executable, "-m", "prismrec", "features", "--text-encoder", "tfidf", "--text", "title", "-q"]
    subprocess.run([*command, str(folder)], check=True, capture_output=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(json.dumps({"items": args.items, "peak MB": peak, "seconds": round(time.perf_counter() - start, 1)}))


def speed(args: argparse.Namespace) -> None:
    """Time and peak memory of `prismrec features`, with its start."""
    copy = args.work / "speed"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for path in args.folder.iterdir():
        if path.name != "features":
            (copy / path.name).symlink_to(path.resolve())
    start = time.perf_counter()
    command = [sys.executable, "-m", "prismrec", "features", str(copy), "--json", *args.options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    encoded = {name: each["newly_encoded"] for name, each in json.loads(done.stdout).items()}
    thousands = sum(encoded.values()) / 1000
    result = {
        "encoded": encoded,
        "seconds per 1,000": round(seconds / thousands, 2),
        "CPU seconds per 1,000": round((usage.ru_utime + usage.ru_stime) / thousands, 2),
        "peak MB": usage.ru_maxrss // 1024,
    }
    print(json.dumps(result))


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--work", type=Path, required=True, help="folder for pictures and features")
    if command is broken:
        sub.add_argument("--pictures", type=int, default=10_000)
    elif command is kills:
        sub.add_argument("--kills", type=int, default=20)
        sub.add_argument("--encoder", default="histograms")
    elif command is normalise:
        sub.add_argument("--folder", type=Path, required=True, help="a data set with features that are not normalised")
        sub.add_argument("--models", nargs="*", default=["VBPR", "LATTICE", "BM3", "Prism"])
        sub.add_argument("--users", type=int, help="take the interactions of this number of users, drawn at random")
        sub.add_argument("--seeds", type=int, default=1)
        sub.add_argument("--patience", type=int, default=20)
        sub.add_argument("--epochs", type=int, default=1000)
    elif command is memory:
        sub.add_argument("--items", type=int, default=100_000)
    else:
        sub.add_argument("--folder", type=Path, required=True, help="a folder with an item table")
        sub.add_argument("options", nargs="*", help="options of `prismrec features`, after --")


if __name__ == "__main__":
    run_command(__doc__, (broken, kills, normalise, memory, speed), add_options)
