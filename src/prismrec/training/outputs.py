"""What the methods of a model may return; models of the caller may return something else."""

from collections.abc import Mapping

from torch import Tensor

from prismrec.errors import InputError
from prismrec.models.base import Recommender
from prismrec.types import Embeddings


def check_terms(model: Recommender, terms: object) -> None:
    """Refuse what the forward method of a model may not return.

    Raises:
        InputError: no mapping, an empty one, or a term that is not a scalar.
    """
    where = f"model {model.name!r}, forward"
    expected = "a dict of loss terms: name → scalar tensor"
    if not isinstance(terms, Mapping) or not terms:
        raise InputError(where, f"{type(terms).__name__} returned", expected)
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.ndim:
            raise InputError(where, f"{name!r} with {kind_of(term)}", expected)


def check_embeddings(model: Recommender, embeddings: object) -> None:
    """Refuse what the embed method of a model may not return.

    Raises:
        InputError: no `Embeddings`, or matrices of other shapes.
    """
    where = f"model {model.name!r}, embed"
    expected = f"Embeddings with users [{model.num_users}, d] and items [{model.num_items}, d]"
    if not isinstance(embeddings, Embeddings):
        raise InputError(where, f"{type(embeddings).__name__} returned", expected)
    users, items = embeddings.users, embeddings.items
    shapes = list(users.shape), list(items.shape)
    if users.ndim != 2 or shapes != ([model.num_users, users.shape[1]], [model.num_items, users.shape[1]]):
        raise InputError(where, f"users {shapes[0]} and items {shapes[1]}", expected)


def kind_of(term: object) -> str:
    """The shape of a tensor or the type of something else, for messages."""
    return f"shape {list(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
