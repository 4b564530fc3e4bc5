"""The made-up shop as ordinary files, in the tabular layout."""

from pathlib import Path

import numpy as np
import polars as pl

from prismrec.data.demo.shop import DEFAULT, Shop, ShopConfig, make_shop
from prismrec.data.split import SPLIT_NAMES
from prismrec.data.write import write_table
from prismrec.files import new_folder

_README = """\
A made-up shop
==============
Nothing here is real: prismrec made the products, their pictures and texts, the customers and what they took,
from the seed {seed}. {users} customers, {items} products, {interactions} interactions.

interactions.csv   user_id, item_id, timestamp (seconds since 1970), split (train, valid, test)
items.csv          item_id, title, description, image
images/            one picture for each product
features/          image.npz from the pictures alone, text.npz from titles and descriptions alone; each holds
                   the arrays ids [I] and features [I, F]

Strength of the tastes: {taste} of 1. Share of noise in the features: {feature_noise} of 1.
"""


def write_shop(folder: Path, config: ShopConfig = DEFAULT) -> None:
    """Make the shop and write it as ordinary files; the folder is whole or not there.

    Beside what `write_table` writes: timestamps, `images/ITEM_ID.png` and README.txt.

    Args:
        folder: a path where nothing is yet, or an empty folder.
        config: what to make.

    Raises:
        InputError: something is at `folder` already, or the extra `demo` is not installed.
    """
    with new_folder(folder) as unfinished:
        shop = make_shop(config)
        write_table(shop.dataset(), unfinished)
        _add_timestamps(shop, unfinished / "interactions.csv")
        _write_pictures(shop, unfinished / "images")
        (unfinished / "README.txt").write_text(_README.format(**config.model_dump()), encoding="utf-8")


def _add_timestamps(shop: Shop, path: Path) -> None:
    """Write the interactions again, in the order in which they happened."""
    log = shop.log
    columns = {
        "user_id": np.array(shop.user_ids)[log.users],
        "item_id": np.array([item.id for item in shop.items])[log.items],
        "timestamp": log.timestamps,
        "split": np.array(SPLIT_NAMES)[log.labels],
    }
    pl.DataFrame(columns).sort("timestamp", maintain_order=True).write_csv(path)


def _write_pictures(shop: Shop, folder: Path) -> None:
    from PIL import Image

    folder.mkdir()
    for item, pixels in zip(shop.items, shop.pictures, strict=True):
        Image.fromarray(pixels).save(folder / f"{item.id}.png", compress_level=1)
