"""What the methods of a model may return; models of the caller may return something else."""

from collections.abc import Mapping

import torch
from torch import Tensor

from prismrec.errors import InputError
from prismrec.models.base import Recommender
from prismrec.types import Embeddings


def check_terms(model: Recommender, terms: object) -> None:
    """Refuse what the forward method of a model may not return.

    Raises:
        InputError: no mapping, an empty one, a term that is no real scalar, or none that depends on the weights.
    """
    where = f"model {model.name!r}, forward"
    expected = "a dict of loss terms: name → scalar tensor"
    if not isinstance(terms, Mapping) or not terms:
        raise InputError(where, f"{type(terms).__name__} returned", expected)
    for name, term in terms.items():
        if not isinstance(name, str) or not is_real_scalar(term):
            raise InputError(where, f"{name!r} with {kind_of(term)}", expected)
    if torch.is_grad_enabled() and not any(term.requires_grad for term in terms.values()):
        raise InputError(where, "terms without a gradient", "a term that depends on the weights")


def check_embeddings(model: Recommender, embeddings: object) -> None:
    """Refuse what the embed method of a model may not return.

    Raises:
        InputError: no `Embeddings`, or matrices of other types or shapes.
    """
    where = f"model {model.name!r}, embed"
    expected = f"Embeddings with users [{model.num_users}, d] and items [{model.num_items}, d]"
    if not isinstance(embeddings, Embeddings):
        raise InputError(where, f"{type(embeddings).__name__} returned", expected)
    users, items = embeddings.users, embeddings.items
    for matrix in (users, items):
        if not isinstance(matrix, Tensor) or not matrix.is_floating_point():
            raise InputError(where, f"a matrix of {getattr(matrix, 'dtype', type(matrix).__name__)}", expected)
    shapes = list(users.shape), list(items.shape)
    width = users.shape[1] if users.ndim == 2 else 0
    if not width or shapes != ([model.num_users, width], [model.num_items, width]):
        raise InputError(where, f"users {shapes[0]} and items {shapes[1]}", expected)


def is_real_scalar(term: object) -> bool:
    """Whether a term of a loss can be added to others."""
    return isinstance(term, Tensor) and not term.ndim and term.is_floating_point()


def kind_of(term: object) -> str:
    """The shape or the type of a tensor, or the type of something else, for messages."""
    if not isinstance(term, Tensor):
        return type(term).__name__
    return f"shape {list(term.shape)}" if term.ndim else str(term.dtype)
