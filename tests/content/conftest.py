"""A small folder with pictures, texts and clicks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve items, with a title and a picture each, that three users clicked."""
    return make_folder(tmp_path / "shop", 12)


@pytest.fixture
def new_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes folders like `folder`, of another size."""
    return lambda name, items, first=0: make_folder(tmp_path / name, items, first)


def make_folder(path: Path, items: int, first: int = 0) -> Path:
    """Items from number `first` on."""
    rng = np.random.default_rng(first)
    (path / "images").mkdir(parents=True)
    ids = [f"item-{number:03d}" for number in range(first, first + items)]
    colours = ["red", "green", "blue", "white"]
    kinds = ["mug", "lamp", "plate"]
    for number, identifier in enumerate(ids):
        pixels = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
        pixels[:, :, number % 3] //= 4
        Image.fromarray(pixels).save(path / "images" / f"{identifier}.png")
    titles = [f"A {colours[number % 4]} {kinds[number % 3]} number {number}" for number in range(items)]
    pl.DataFrame({"item_id": ids, "title": titles, "price": range(items)}).write_csv(path / "items.csv")
    pairs = {"user_id": [f"u{each % 5}" for each in range(6 * items)], "item_id": ids * 6}
    pl.DataFrame(pairs).write_csv(path / "interactions.csv")
    return path
