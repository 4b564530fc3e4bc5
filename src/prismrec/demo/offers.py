"""What a shop knows of its products beside contents: brand, price, stock and first day."""

from typing import Any

import numpy as np

_BRANDS = ("ALTA", "BRISA", "CORDOVA", "DAGNY", "ELMO", "FJORD", "GALA", "HAVEN")
"""In capitals, so that `prismrec features` does not take them for text."""
_PRICE = 20.0
"""The median price."""
_DAYS = 730
"""The first day of a product is at most this many days before the opening."""


def make_offers(items: int, opening: np.datetime64, rng: np.random.Generator) -> dict[str, list[Any]]:
    """Random columns of an item table with I rows: brand, price, in_stock and added, as a reader of CSV gets them.

    Args:
        items: I.
        opening: when the shop opened; products were added before.
        rng: source of the values.
    """
    brands = rng.choice(_BRANDS, items)  # [I], as the following
    prices = _PRICE * rng.lognormal(0, 0.5, items)
    in_stock = rng.random(items) < 0.9
    days = opening.astype("datetime64[D]") - rng.integers(1, _DAYS + 1, items)
    return {
        "brand": brands.tolist(),
        "price": prices.round(2).tolist(),
        "in_stock": ["true" if each else "false" for each in in_stock],
        "added": days.astype(str).tolist(),
    }
