"""Generates a synthetic shop: products, customers with tastes, and the purchases that follow from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from prismrec.data.dataset import Dataset
from prismrec.data.pairs import Pairs
from prismrec.data.split import TEST, TRAIN, VALID, SplitSpec, split_labels
from prismrec.demo.offers import make_offers
from prismrec.demo.texts import write
from prismrec.demo.traits import TRAITS, Colour, Kind, Pattern, Style, Traits
from prismrec.errors import InputError, ParameterError
from prismrec.parameters import Parameters
from prismrec.types import FloatArray, IntArray, Interactions, Vocabulary

MIN_INTERACTIONS = 5
"""The smallest number of interactions of a user, as in the 5-core data sets of the papers."""

_YEAR = 365 * 24 * 3600
_OPENING = 1_704_067_200  # 2024-01-01 00:00:00 UTC

# Standard deviation of the tastes of customers for the values of each attribute.
_TASTE_DEVIATIONS: dict[type[Enum], float] = {Kind: 2.2, Colour: 2.0, Pattern: 1.2, Style: 1.4}


class _Stream(IntEnum):
    """Each part of the shop has its own random stream, so that a change of one part leaves the others unchanged."""

    ITEMS = 0
    USERS = 1
    PICTURES = 2
    TEXTS = 3
    NOISE = 4
    TIMES = 5
    OFFERS = 6


class ShopConfig(Parameters):
    """Size of the shop, and how informative its features are.

    Raises:
        ParameterError: a value is outside its limits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    users: PositiveInt = 2000
    """Number of customers, U."""
    items: PositiveInt = 900
    """Number of products, I."""
    interactions: PositiveInt = 25_000
    """Number of distinct pairs of a customer and a product, E: at least 5 U and at most a quarter of U I."""
    seed: NonNegativeInt = 0
    """Seed of all random draws."""
    taste: float = Field(1.0, ge=0.0, le=1.0)
    """Strength of the tastes. At 0, customers choose by popularity alone."""
    feature_noise: float = Field(0.0, ge=0.0, le=1.0)
    """Share of noise in the features. At 1, they carry no information about the item."""

    @model_validator(mode="after")
    def _fits(self) -> "ShopConfig":
        low = MIN_INTERACTIONS * self.users
        high = self.users * self.items // 4
        if not low <= self.interactions <= high:
            expected = f"{low}..{high}: {MIN_INTERACTIONS} for every user, and at most a quarter of all pairs"
            raise ParameterError("interactions", str(self.interactions), expected)
        return self


DEFAULT = ShopConfig()
"""The shop of `prismrec demo`."""


@dataclass(frozen=True)
class Item:
    """A product.

    Attributes:
        id: its id, from its kind and a number.
        traits: its attributes, which are hidden from all recommenders.
        title: its title.
        description: one to five sentences.
    """

    id: str
    traits: Traits
    title: str
    description: str


@dataclass(frozen=True, eq=False)
class Shop:
    """A synthetic shop in memory.

    Attributes:
        config: the configuration that it was generated from.
        items: the products, in the order of their numbers.
        user_ids: the ids of the customers, in the order of their numbers.
        popularity: the hidden popularity of each product, as the logarithm of a weight, `[I]`.
        log: the E interactions, with timestamps (seconds since 1970) and split labels.
    """

    config: ShopConfig
    items: tuple[Item, ...]
    user_ids: tuple[str, ...]
    popularity: npt.NDArray[np.float64]
    log: Pairs

    @cached_property
    def pictures(self) -> npt.NDArray[np.uint8]:
        """The pictures of all products, RGB, uint8 `[I, S, S, 3]`.

        Raises:
            InputError: the extra `demo` is not installed.
        """
        with _demo_extra():
            from prismrec.demo.pictures import render

        pictures = []
        for number, item in enumerate(self.items):
            rng = _random(self.config, _Stream.PICTURES, number)
            pictures.append(render(item.traits, rng))
        return np.stack(pictures)

    @cached_property
    def features(self) -> dict[str, FloatArray]:
        """Features by modality, float32 `[I, F]`.

        "image" is computed from the pictures alone, and "text" from the titles and descriptions alone.

        Raises:
            InputError: the extra `demo` is not installed.
        """
        with _demo_extra():
            from PIL import Image

            from prismrec.content import encode_contents, make_encoder
            from prismrec.demo.noise import add_noise

        texts = [f"{item.title}. {item.description}" for item in self.items]
        images = [Image.fromarray(pixels) for pixels in self.pictures]
        image_rows = encode_contents(make_encoder("histograms"), images)  # [I, F]
        text_rows = encode_contents(make_encoder("tfidf"), texts)  # [I, F]
        share = self.config.feature_noise
        return {
            "image": add_noise(image_rows, share, _random(self.config, _Stream.NOISE, 0)),
            "text": add_noise(text_rows, share, _random(self.config, _Stream.NOISE, 1)),
        }

    def dataset(self, *, features: bool = True) -> Dataset:
        """The data set that a recommender sees. It equals the data set read from the files of `write_shop`.

        Args:
            features: whether the data set has features.

        Raises:
            InputError: the extra `demo` is not installed.
        """
        item_ids = [item.id for item in self.items]
        modalities = self.features if features else {}
        return Dataset(
            name="demo",
            train=self._interactions(TRAIN),
            valid=self._interactions(VALID),
            test=self._interactions(TEST),
            features=modalities,
            present={name: np.ones(len(self.items), dtype=np.bool_) for name in modalities},
            users=Vocabulary(self.user_ids, "user"),
            items=Vocabulary(item_ids, "item"),
            catalog=self.catalog,
        )

    def _interactions(self, label: int) -> Interactions:
        pairs = self.log.where(np.asarray(self.log.labels) == label)
        return Interactions.from_pairs(pairs.users, pairs.items, pairs.num_users, pairs.num_items)

    @property
    def catalog(self) -> pl.DataFrame:
        """The item table: item_id, title, description, image (path of the picture), brand, price, in_stock, added.

        The last four are random, so that recommenders learn nothing from them.
        """
        rows = [(item.id, item.title, item.description, f"images/{item.id}.png") for item in self.items]
        contents = pl.DataFrame(rows, schema=["item_id", "title", "description", "image"], orient="row")
        offers = make_offers(len(self.items), np.datetime64(_OPENING, "s"), _random(self.config, _Stream.OFFERS))
        return contents.with_columns(pl.DataFrame(offers))


def make_shop(config: ShopConfig = DEFAULT) -> Shop:
    """Generate a shop. The result is a function of the configuration.

    A customer chooses products without replacement, each with a probability proportional to
    exp(popularity + taste · appeal) (Plackett-Luce model). The appeal of a product is the sum of the customer's tastes
    for its four attributes.
    """
    items = _make_items(config)
    digits = len(str(config.users))
    user_ids = tuple(f"u{number:0{digits}d}" for number in range(1, config.users + 1))
    popularity = _make_popularity(config)
    log = _make_log(config, items, popularity)
    return Shop(config, items, user_ids, popularity, log)


@contextmanager
def _demo_extra() -> Iterator[None]:
    """Replace the error of a missing package by the command that installs it."""
    try:
        yield
    except ImportError as error:
        remedy = "Pillow and scikit-learn: pip install pillow scikit-learn"
        raise InputError("the example shop", str(error), remedy) from error


def _random(config: ShopConfig, stream: _Stream, part: int = 0) -> np.random.Generator:
    return np.random.default_rng([config.seed, stream, part])


def _make_items(config: ShopConfig) -> tuple[Item, ...]:
    """Products with independent, uniform attributes, sorted by kind."""
    rng = _random(config, _Stream.ITEMS)
    kinds = np.sort(rng.integers(len(Kind), size=config.items))  # [I], as the following
    colours = rng.integers(len(Colour), size=config.items)
    patterns = rng.integers(len(Pattern), size=config.items)
    styles = rng.integers(len(Style), size=config.items)
    digits = max(3, len(str(config.items)))
    items = []
    for number in range(config.items):
        kind = list(Kind)[kinds[number]]
        colour = list(Colour)[colours[number]]
        pattern = list(Pattern)[patterns[number]]
        style = list(Style)[styles[number]]
        traits = Traits(kind, colour, pattern, style)
        text = write(traits, _random(config, _Stream.TEXTS, number))
        first_of_kind = int(np.searchsorted(kinds, kinds[number]))
        position = number - first_of_kind + 1
        items.append(Item(f"{kind.value}-{position:0{digits}d}", traits, text.title, text.description))
    return tuple(items)


def _make_popularity(config: ShopConfig) -> npt.NDArray[np.float64]:
    """Logarithms of weights `[I]` after a shifted Zipf law: a long tail, in which few items are very rare."""
    ranks = _random(config, _Stream.ITEMS, 1).permutation(config.items)
    return -0.6 * np.log(ranks + 0.03 * config.items)


def _make_log(config: ShopConfig, items: tuple[Item, ...], popularity: npt.NDArray[np.float64]) -> Pairs:
    """All interactions, with times spread over one year, split 8:1:1 within each user."""
    counts = _activity(config)
    user_numbers = np.repeat(np.arange(config.users, dtype=np.int32), counts)  # [E]
    item_numbers = _choices(config, items, popularity, counts)  # [E]
    times = _OPENING + _random(config, _Stream.TIMES).integers(_YEAR, size=config.interactions)
    pairs = Pairs(user_numbers, item_numbers, config.users, config.items, times)
    labels = split_labels(pairs, SplitSpec("user", seed=config.seed), "the demo")
    return replace(pairs, labels=labels)


def _activity(config: ShopConfig) -> npt.NDArray[np.int64]:
    """The number of interactions of each user, about log-normal, at least 5 and at most I / 2, `[U]`."""
    rng = _random(config, _Stream.USERS)
    weights = rng.lognormal(0.0, 0.6, config.users)
    most = config.items // 2
    counts = np.full(config.users, MIN_INTERACTIONS, dtype=np.int64)
    while (left := config.interactions - counts.sum()) > 0:
        more = rng.multinomial(left, weights / weights.sum())
        counts = np.minimum(counts + more, most)
        weights[counts == most] = 0.0
    return counts


def _choices(
    config: ShopConfig,
    items: tuple[Item, ...],
    popularity: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
) -> IntArray:
    """The item numbers of all interactions, sorted by user and item, `[E]`.

    The items with the largest sums of logarithmic weight and Gumbel noise are a sample without replacement.
    """
    rng = _random(config, _Stream.USERS, 1)
    values = np.array([[list(type(value)).index(value) for value in item.traits] for item in items])  # [I, 4]
    chosen = []
    for count in counts:
        appeal = np.zeros(config.items)
        for column, trait in enumerate(TRAITS):
            taste = _TASTE_DEVIATIONS[trait] * rng.normal(size=len(trait))
            appeal = appeal + taste[values[:, column]]
        noisy = popularity + config.taste * appeal + rng.gumbel(size=config.items)
        best = np.argsort(-noisy, kind="stable")[:count]
        chosen.append(np.sort(best))
    return np.concatenate(chosen).astype(np.int32)
