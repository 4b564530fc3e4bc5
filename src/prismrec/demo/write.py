"""Writes the synthetic shop as files, in the tabular layout."""

from pathlib import Path

import numpy as np
import polars as pl

from prismrec.data.split import SPLIT_NAMES
from prismrec.data.write import write_table
from prismrec.demo.shop import DEFAULT, Shop, ShopConfig, make_shop
from prismrec.files import new_folder

_README = """\
A synthetic shop
================
Nothing here is real. prismrec generated the products, their pictures and texts, the customers and their purchases
from seed {seed}: {users} customers, {items} products, {interactions} interactions.

interactions.csv   user_id, item_id, timestamp (seconds since 1970), split (train, valid, test)
items.csv          item_id, title, description, image, and at random: brand, price, in_stock, added (day)
images/            one picture per product

Strength of the tastes, from 0 to 1: {taste}.
"""
_FEATURES = """\
features/          image.npz, computed from the pictures alone, and text.npz, computed from titles and descriptions
                   alone, each with the arrays ids [I] and features [I, F]. Share of noise, from 0 to 1: {feature_noise}
"""


def write_shop(folder: Path, config: ShopConfig = DEFAULT, *, features: bool = True) -> None:
    """Generate a shop and write it to a new folder. The folder is complete or absent.

    The folder has the files of `write_table`, with a column `timestamp` in the interactions, the pictures
    `images/ITEM_ID.png` and `README.txt`.

    Args:
        folder: a new or empty folder.
        config: size, seed and informativeness of the shop.
        features: whether to write features; `prismrec features` makes them from the pictures and texts.

    Raises:
        InputError: `folder` is not an empty folder or cannot be written, or the extra `demo` is not installed.
    """
    with new_folder(folder) as unfinished:
        shop = make_shop(config)
        write_table(shop.dataset(features=features), unfinished)
        _add_timestamps(shop, unfinished / "interactions.csv")
        _write_pictures(shop, unfinished / "images")
        readme = (_README + _FEATURES if features else _README).format(**config.model_dump())
        (unfinished / "README.txt").write_text(readme, encoding="utf-8")


def _add_timestamps(shop: Shop, path: Path) -> None:
    """Replace the file of interactions by one with timestamps, in the order of time."""
    log = shop.log
    user_ids = np.array(shop.user_ids)
    item_ids = np.array([item.id for item in shop.items])
    columns = {
        "user_id": user_ids[log.users],
        "item_id": item_ids[log.items],
        "timestamp": log.timestamps,
        "split": np.array(SPLIT_NAMES)[log.labels],
    }
    pl.DataFrame(columns).sort("timestamp", maintain_order=True).write_csv(path)


def _write_pictures(shop: Shop, folder: Path) -> None:
    from PIL import Image

    folder.mkdir()
    for item, pixels in zip(shop.items, shop.pictures, strict=True):
        Image.fromarray(pixels).save(folder / f"{item.id}.png", compress_level=1)
