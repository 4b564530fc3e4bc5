"""Search in titles and ids."""

import unicodedata
from functools import cached_property

import numpy as np
import polars as pl

from prismrec.retrieval.catalog import title_column
from prismrec.types import Interactions, Vocabulary

_IMAGES = ("image", "picture", "img", "image_path", "picture_path", "image_url")


class ItemTexts:
    """The item table as people read it, and the search in it.

    Attributes:
        table: the item table; without columns if the run has none.
        title: the column that names an item, or None.
        image: the column with the path of its picture, or None.
    """

    def __init__(self, items: Vocabulary, table: pl.DataFrame, train: Interactions) -> None:
        self.items = items
        self.table = table
        text_columns = [name for name in table.columns if table[name].dtype == pl.String]
        self.image = next((name for name in _IMAGES if name in text_columns), None)
        self.title = title_column(table)
        self._popularity = train.item_degrees

    @cached_property
    def _folded(self) -> pl.Series:
        """Title and id of each item, for comparison: lower case, without accents, words parted by one blank."""
        ids = self.items.ids
        if self.title is None:
            return folded(ids)
        return folded(self.table[self.title].fill_null("") + " " + ids)

    def search(self, text: str, count: int) -> list[int]:
        """The numbers of items whose title or id contains all words, popular items and beginnings of words first."""
        return _best(self._folded, text, self._popularity, count)


class UserNames:
    """The search in user ids."""

    def __init__(self, users: Vocabulary, train: Interactions) -> None:
        self._users = users
        self._activity = train.user_degrees

    @cached_property
    def _folded(self) -> pl.Series:
        return folded(self._users.ids)

    def search(self, text: str, count: int) -> list[int]:
        """The numbers of users whose id contains all words, the most active first."""
        return _best(self._folded, text, self._activity, count)


def folded(texts: pl.Series) -> pl.Series:
    """Texts for comparison: lower case, without accents, a blank before each word."""
    plain = texts if texts.str.contains(r"^[\x00-\x7F]*$").all() else pl.Series([_without_accents(t) for t in texts])
    return " " + plain.str.to_lowercase().str.replace_all(r"\s+", " ")


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join([letter for letter in decomposed if not unicodedata.combining(letter)])


def _best(texts: pl.Series, query: str, weights: np.ndarray, count: int) -> list[int]:
    """The rows that contain all words of a query: first those in which they begin words, then by weight."""
    words = _without_accents(query).lower().split()
    found = np.arange(len(texts))
    for word in words:
        found = found[texts.gather(found).str.contains(word, literal=True).to_numpy()]
    begins = np.ones(len(found), dtype=np.bool_)
    for word in words:
        begins &= texts.gather(found).str.contains(" " + word, literal=True).to_numpy()
    order = np.lexsort((found, -weights[found], ~begins))
    return found[order[:count]].tolist()
