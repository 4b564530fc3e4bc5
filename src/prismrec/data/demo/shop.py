"""The hidden world of the embedded example: a made-up shop, its customers, their tastes and what they took."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from prismrec.data.dataset import Dataset
from prismrec.data.demo.texts import write
from prismrec.data.demo.traits import TRAITS, Colour, Kind, Pattern, Style, Traits
from prismrec.data.pairs import Pairs
from prismrec.data.split import TEST, TRAIN, VALID, SplitSpec, split_labels
from prismrec.errors import InputError
from prismrec.types import FloatArray, IntArray, Interactions, Vocabulary

FEWEST = 5
"""The fewest interactions of a user, as in the 5-core sets of the papers."""

_YEAR = 365 * 24 * 3600
_OPENING = 1_704_067_200  # 2024-01-01 00:00:00 UTC

# How much an attribute sways a customer: standard deviation of the appeal of its values.
_SWAY: dict[type[Enum], float] = {Kind: 2.2, Colour: 2.0, Pattern: 1.2, Style: 1.4}


class _Stream(IntEnum):
    """Separate random streams: changing one part of the world leaves the others as they were."""

    ITEMS = 0
    USERS = 1
    PICTURES = 2
    TEXTS = 3
    NOISE = 4
    TIMES = 5


class ShopConfig(BaseModel):
    """How large the shop is, and how much its pictures and texts tell about what customers take."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    users: PositiveInt = 2000
    """Customers, U."""
    items: PositiveInt = 900
    """Products, I."""
    interactions: PositiveInt = 25_000
    """Distinct pairs of a customer and a product, E: at least 5 for every customer, at most a quarter of all pairs."""
    seed: NonNegativeInt = 0
    """Equal seeds make equal shops."""
    taste: float = Field(1.0, ge=0.0, le=1.0)
    """Strength of the tastes; at 0 every customer goes by popularity alone."""
    feature_noise: float = Field(0.0, ge=0.0, le=1.0)
    """Share of noise in the features; at 1 they tell nothing about an item."""

    @model_validator(mode="after")
    def _fits(self) -> "ShopConfig":
        low, high = FEWEST * self.users, self.users * self.items // 4
        if not low <= self.interactions <= high:
            raise ValueError(
                f"interactions: found {self.interactions}; expected {low}..{high}: {FEWEST} for every user, "
                "and at most a quarter of all pairs"
            )
        return self


DEFAULT = ShopConfig()


@dataclass(frozen=True)
class Item:
    """One product; `traits` are hidden from every recommender."""

    id: str
    traits: Traits
    title: str
    description: str


@dataclass(frozen=True, eq=False)
class Shop:
    """The made-up shop in memory.

    Attributes:
        config: what it was made from.
        items: products; the position is the item number.
        user_ids: the position is the user number.
        popularity: hidden popularity of every product as a log weight, `[I]`.
        log: the interactions, with timestamps (seconds since 1970) and split labels.
    """

    config: ShopConfig
    items: tuple[Item, ...]
    user_ids: tuple[str, ...]
    popularity: npt.NDArray[np.float64]
    log: Pairs

    @cached_property
    def pictures(self) -> npt.NDArray[np.uint8]:
        """Every product drawn, RGB `[I, S, S, 3]`.

        Raises:
            InputError: the extra `demo` is not installed.
        """
        with _demo_extra():
            from prismrec.data.demo.pictures import render

        return np.stack(
            [
                render(item.traits, _random(self.config, _Stream.PICTURES, number))
                for number, item in enumerate(self.items)
            ]
        )

    @cached_property
    def features(self) -> dict[str, FloatArray]:
        """Modality → float32 `[I, F]`: "image" from the pictures alone, "text" from titles and descriptions alone.

        Raises:
            InputError: the extra `demo` is not installed.
        """
        with _demo_extra():
            from prismrec.data.demo.encoders import add_noise, image_features, text_features

        clean = {
            "image": image_features(self.pictures),
            "text": text_features([f"{item.title}. {item.description}" for item in self.items]),
        }
        return {
            name: add_noise(rows, self.config.feature_noise, _random(self.config, _Stream.NOISE, number))
            for number, (name, rows) in enumerate(clean.items())
        }

    def dataset(self) -> Dataset:
        """What a recommender may know of the shop, without files in between.

        Raises:
            InputError: the extra `demo` is not installed.
        """
        labels = np.asarray(self.log.labels)
        parts = [self.log.where(labels == label) for label in (TRAIN, VALID, TEST)]
        train, valid, test = (
            Interactions.from_pairs(part.users, part.items, part.num_users, part.num_items) for part in parts
        )
        return Dataset(
            "demo",
            train,
            valid,
            test,
            features=self.features,
            present={name: np.ones(len(self.items), dtype=np.bool_) for name in self.features},
            users=Vocabulary(self.user_ids, "user"),
            items=Vocabulary((item.id for item in self.items), "item"),
            catalog=self.catalog,
        )

    @property
    def catalog(self) -> pl.DataFrame:
        """The item table: item_id, title, description, image (the path of its picture in the written shop)."""
        columns = {
            "item_id": [item.id for item in self.items],
            "title": [item.title for item in self.items],
            "description": [item.description for item in self.items],
            "image": [f"images/{item.id}.png" for item in self.items],
        }
        return pl.DataFrame(columns)


def make_shop(config: ShopConfig = DEFAULT) -> Shop:
    """Make the shop in memory; equal configs make equal shops.

    A customer takes products without replacement, with odds exp(popularity + taste · appeal): the
    Plackett-Luce model, where the appeal adds up over the four attributes of a product.
    """
    items = _make_items(config)
    popularity = _make_popularity(config)
    return Shop(
        config,
        items,
        tuple(f"u{number:0{len(str(config.users))}d}" for number in range(1, config.users + 1)),
        popularity,
        _make_log(config, items, popularity),
    )


@contextmanager
def _demo_extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        remedy = "Pillow and scikit-learn: pip install 'prismrec[demo]'"
        raise InputError("the embedded example", str(error), remedy) from error


def _random(config: ShopConfig, stream: _Stream, part: int = 0) -> np.random.Generator:
    return np.random.default_rng([config.seed, stream, part])


def _make_items(config: ShopConfig) -> tuple[Item, ...]:
    rng = _random(config, _Stream.ITEMS)
    values = [rng.integers(len(trait), size=config.items) for trait in TRAITS]
    kinds = np.sort(values[0])
    digits = max(3, len(str(config.items)))
    items = []
    for number in range(config.items):
        traits = Traits(
            list(Kind)[kinds[number]],
            list(Colour)[values[1][number]],
            list(Pattern)[values[2][number]],
            list(Style)[values[3][number]],
        )
        nth = number - int(np.searchsorted(kinds, kinds[number])) + 1
        text = write(traits, _random(config, _Stream.TEXTS, number))
        items.append(Item(f"{traits.kind.value}-{nth:0{digits}d}", traits, text.title, text.description))
    return tuple(items)


def _make_popularity(config: ShopConfig) -> npt.NDArray[np.float64]:
    """A shifted Zipf law: a long tail, but few items that hardly anyone takes."""
    ranks = _random(config, _Stream.ITEMS, 1).permutation(config.items)
    return -0.6 * np.log(ranks + 0.03 * config.items)


def _make_log(config: ShopConfig, items: tuple[Item, ...], popularity: npt.NDArray[np.float64]) -> Pairs:
    counts = _activity(config)
    users = np.repeat(np.arange(config.users, dtype=np.int32), counts)
    taken = _taken(config, items, popularity, counts)
    times = _OPENING + _random(config, _Stream.TIMES).integers(_YEAR, size=len(users))
    pairs = Pairs(users, taken, config.users, config.items, times)
    return replace(pairs, labels=split_labels(pairs, SplitSpec("user", seed=config.seed), "the demo"))


def _activity(config: ShopConfig) -> npt.NDArray[np.int64]:
    """How many products every customer takes: log-normal, at least `FEWEST`, at most half of the shop; `[U]`."""
    rng = _random(config, _Stream.USERS)
    weights = rng.lognormal(0.0, 0.6, config.users)
    counts = np.full(config.users, FEWEST, dtype=np.int64)
    while (left := config.interactions - counts.sum()) > 0:
        more = rng.multinomial(left, weights / weights.sum())
        counts = np.minimum(counts + more, config.items // 2)
        weights[counts == config.items // 2] = 0.0
    return counts


def _taken(
    config: ShopConfig,
    items: tuple[Item, ...],
    popularity: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
) -> IntArray:
    """The item numbers that every user takes, user after user; `[E]`."""
    rng = _random(config, _Stream.USERS, 1)
    values = np.array([[list(type(value)).index(value) for value in item.traits] for item in items])
    taken = []
    for count in counts:
        tastes = [_SWAY[trait] * rng.normal(size=len(trait)) for trait in TRAITS]
        appeal = sum(taste[values[:, column]] for column, taste in enumerate(tastes))
        odds = popularity + config.taste * appeal + rng.gumbel(size=config.items)
        taken.append(np.sort(np.argsort(-odds, kind="stable")[:count]))
    return np.concatenate(taken).astype(np.int32)
