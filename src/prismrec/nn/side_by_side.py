"""The vectors of two models side by side, with scores of comparable size; docs/prism.md, equation (10)."""

import torch
from torch import Tensor

from prismrec.types import Embeddings


def side_by_side(first: Embeddings, second: Embeddings, weight: Tensor) -> Embeddings:
    """[u, w f_u v] and [i, j], for users u and items i of the first model and v and j of the second, `[·, d + r]`.

    With f_u, the weight w is the ratio of the standard deviations over items of both scores, for every user.
    """
    factor = _deviation_of_scores(first) / _deviation_of_scores(second)  # f [U, 1]
    weights = weight.to(factor) * factor.nan_to_num(0.0, posinf=0.0)  # w f [U, 1]
    users = torch.cat([first.users, weights * second.users], 1)
    return Embeddings(users, torch.cat([first.items, second.items], 1))


def _deviation_of_scores(embeddings: Embeddings) -> Tensor:
    """The standard deviation over items of the scores of each user, `[U, 1]`, from the covariance of the items."""
    users, items = embeddings.users, embeddings.items
    centred = items - items.mean(0)
    covariance = centred.T @ centred / len(items)  # [d, d]
    return ((users @ covariance) * users).sum(1, keepdim=True).clamp(min=0).sqrt()
