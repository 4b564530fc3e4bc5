"""The bodies of requests and answers, with examples for the OpenAPI description."""

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from prismrec.retrieval import MODEL, Filters, Unknown

Id = Annotated[str, Field(max_length=1000)]
Ids = Annotated[list[Id], Field(min_length=1)]
Length = Annotated[int, Field(ge=1, le=2**31 - 1)]
Row = dict[str, Any]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class NewestBody(_Body):
    """A floor of new items."""

    column: str
    """Column of the item table with dates."""
    after: datetime | date
    """Later items are new."""
    least: Annotated[int, Field(ge=1, le=2**31 - 1)]
    """The smallest number of new items in a list, if there are enough."""


class FilterBody(_Body):
    """Which items a list may hold."""

    exclude: list[Id] = []
    """Items to leave out."""
    candidates: list[Id] | None = None
    """The only items to choose from."""
    where: Annotated[str, Field(max_length=2000)] | None = None
    """A condition over the item table, an SQL expression of polars."""
    at_most: dict[str, Annotated[int, Field(ge=1, le=2**31 - 1)]] = {}
    """Column of the item table → the largest number of items with the same value in it."""
    newest: NewestBody | None = None
    """A floor of new items."""
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    """From 0 (by score) to 1 (by variety)."""

    def filters(self) -> Filters:
        """The filters that the body describes.

        Raises:
            ParameterError: a value cannot be used.
        """
        newest = None if self.newest is None else (self.newest.column, self.newest.after, self.newest.least)
        return Filters.of(self.exclude, self.candidates, self.where, self.at_most, newest, self.diversity)


class RecommendBody(FilterBody):
    """A request for recommendations: for users, for visitors, or for users with further clicks."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"users": ["u0001", "u0002"], "k": 5},
                {"histories": [["lamp-042", "lamp-012"]], "k": 5, "columns": ["title"]},
                {"users": ["u0001"], "where": "title like '%Lamp%'", "diversity": 0.3},
            ]
        }
    )

    users: Ids | None = None
    """User ids; without them, the lists are for visitors."""
    histories: Annotated[list[list[Id]], Field(min_length=1)] | None = None
    """The item ids that each visitor clicked; with users, further clicks of each."""
    k: Length = 10
    """Items per list; the server may allow fewer."""
    seen: bool = False
    """Whether a list may hold items of the history."""
    unknown: Unknown | None = None
    """What users and histories get if the run knows nothing about them: popular items, or an error."""
    columns: list[str] = []
    """Columns of the item table to add."""

    @model_validator(mode="after")
    def _names_someone(self) -> "RecommendBody":
        if self.users is None and self.histories is None:
            raise ValueError("neither users nor histories")
        return self

    @property
    def size(self) -> int:
        """The number of lists."""
        return len(self.users or self.histories or ())


class SimilarBody(FilterBody):
    """A request for similar items."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": ["lamp-042"], "by": "image", "k": 5, "columns": ["title"]}]}
    )

    items: Ids
    """Items to compare with."""
    by: str = MODEL
    """"model" for what the model learned, or a modality for its features."""
    k: Length = 10
    """Items per list; the server may allow fewer."""
    columns: list[str] = []
    """Columns of the item table to add."""


class ExplainBody(_Body):
    """A request for reasons of recommendations to one user or visitor."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"user": "u0001", "items": ["lamp-042"]}, {"history": ["lamp-012"], "items": ["lamp-042"]}]
        }
    )

    user: Id | None = None
    """A user id; null for a visitor."""
    history: Annotated[list[Id], Field(min_length=1)] | None = None
    """Items that the visitor clicked; with a user, further clicks."""
    items: Ids
    """The recommended items."""
    k: Length | None = None
    """Reasons per item, the largest contributions first; without it, one for each item of the history."""

    @model_validator(mode="after")
    def _names_someone(self) -> "ExplainBody":
        if self.user is None and self.history is None:
            raise ValueError("neither user nor history")
        return self


class NewItemsBody(FilterBody):
    """A request about items that the run does not have."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"features": {"image": [[0.1, 0.2]]}, "k": 5}]})

    features: Annotated[dict[str, list[list[float]]], Field(min_length=1)]
    """Modality → one row of features for each new item, as wide as in the training data."""
    users: list[Id] = []
    """Users to score the new items for."""
    k: Length = 10
    """Similar items per new item; the server may allow fewer."""
    columns: list[str] = []
    """Columns of the item table to add."""


class Listed(BaseModel):
    """An item of a list."""

    item: str
    score: float
    fields: Row | None = None


class RankedList(BaseModel):
    """A ranked list, best first."""

    items: list[Listed]
    popular: bool = Field(description="Whether these are popular items, because nothing is known.")
    shorter: bool = Field(description="Whether fewer items are left than were asked for.")


class RecommendAnswer(BaseModel):
    """One list for each user or history, in the order of the request."""

    run: str
    lists: list[RankedList]
    ignored: list[str] = Field(description="Unknown item ids in the histories.")


class SimilarAnswer(BaseModel):
    """One list for each item, in the order of the request. Scores are cosines."""

    run: str
    lists: list[RankedList]


class NewItemsAnswer(BaseModel):
    """For each new item: similar items, and its score for each user."""

    run: str
    lists: list[RankedList]
    scores: list[list[float]] = Field(description="[new item][user]; comparable with scores of recommendations.")


class Reason(BaseModel):
    """The contribution of one item of the history to a recommended item."""

    item: str = Field(description="The recommended item.")
    clicked: str = Field(description="The item of the history.")
    contribution: float = Field(description="What it adds to the score.")
    share: float | None = Field(description="The contribution as a share of the score, if that is above 0.")
    alike: str | None = Field(description="The modality by which the two resemble each other most.")
    cosines: dict[str, float | None] = Field(description="Modality → cosine of the features.")


class ExplainAnswer(BaseModel):
    """The reasons for each recommended item, the largest contribution first."""

    run: str
    exact: bool = Field(description="Whether contributions are parts of the score, or an approximation.")
    reasons: list[Reason]
    ignored: list[str] = Field(description="Unknown item ids in the history.")
