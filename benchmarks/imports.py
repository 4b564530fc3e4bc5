"""Time and memory of importing reviews: a generated file in the format of Amazon Reviews 2023.

python benchmarks/imports.py --reviews 10000000
"""

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_CHUNK = 100_000
_WORDS = "soft and warm, it came quickly, but the colour is not what I expected from the picture; my daughter loves it"


def write_reviews(path: Path, count: int, users: int, items: int) -> None:
    """Write reviews of random users; the popularity of items falls off as 1 / rank."""
    rng = np.random.default_rng(0)
    text = " ".join([_WORDS] * 3)
    with gzip.open(path, "wb", compresslevel=1) as file:
        for start in range(0, count, _CHUNK):
            size = min(_CHUNK, count - start)
            user = rng.integers(0, users, size)
            item = np.exp(rng.random(size) * np.log(items)).astype(np.int64)
            stars = rng.integers(1, 6, size)
            cut = rng.integers(20, len(text), size)
            lines = [
                f'{{"rating": {s}.0, "title": "Five Stars", "text": "{text[:c]}", "images": [], "asin": "B{i:09}", '
                f'"parent_asin": "B{i:09}", "user_id": "AE{u:026}", "timestamp": {1588687728923 + 977 * (start + n)}, '
                f'"helpful_vote": 0, "verified_purchase": true}}\n'
                for n, (u, i, s, c) in enumerate(zip(user, item, stars, cut, strict=True))
            ]
            file.write("".join(lines).encode())


def write_items(path: Path, items: int) -> None:
    """Write a record of about 1,000 bytes for each item."""
    record = {"main_category": "Baby", "title": _WORDS, "features": [_WORDS] * 3, "description": [_WORDS] * 4}
    rest = {"price": 9.5, "images": [], "videos": [], "store": "Shop", "categories": ["Baby"], "details": {}}
    with gzip.open(path, "wb", compresslevel=1) as file:
        for item in range(items):
            file.write(json.dumps({**record, **rest, "parent_asin": f"B{item:09}"}).encode() + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reviews", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="keep the generated files here")
    parser.add_argument("options", nargs="*", help="of prismrec data import, after --")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        reviews = folder / "Baby_Products.jsonl.gz"
        if not reviews.exists():
            write_reviews(reviews, arguments.reviews, users=arguments.reviews * 4 // 5, items=arguments.reviews // 25)
            write_items(folder / "meta_Baby_Products.jsonl.gz", arguments.reviews // 25)
        out = Path(temporary) / "out"
        command = [sys.executable, "-m", "prismrec", "data", "import", "amazon-2023", str(folder), "--out", str(out)]
        start = time.perf_counter()
        subprocess.run([*command, *arguments.options], check=True)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        print(
            f"{arguments.reviews:,} reviews ({reviews.stat().st_size / 2**30:.2f} GiB packed): {seconds:.0f} s, "
            f"{peak:.2f} GiB at most, {written / 2**20:,.0f} MiB written"
        )


if __name__ == "__main__":
    main()
