"""K-means in blocks, as faiss runs it by default (Johnson, Douze, Jégou, IEEE Transactions on Big Data 2021)."""

import torch
from torch import Tensor

from prismrec.ops.device import block_entries

_POINTS_PER_CLUSTER = 256
"""The most training points per cluster. Of more points, a random subset is used."""
_SPLIT = 1 / 1024
"""When a cluster is split, the entries of its two centroids differ from the old ones by this share."""
_BLOCK_ENTRIES = 1 << 21
"""Distances held at once on a CPU, 8 MB in float32."""


def kmeans(points: Tensor, clusters: int, generator: torch.Generator, iterations: int = 25) -> Tensor:
    """Centroids `[clusters, d]` from Lloyd's algorithm with Euclidean distances, starting at distinct random points.

    An empty cluster takes half of another one, which is drawn with a probability proportional to its size minus one.

    Args:
        points: `[n, d]`.
        clusters: from 1 to n; n returns the points themselves.
        generator: on the CPU; draws the subset, the first centroids and the splits.
        iterations: number of assignments.

    Raises:
        ValueError: fewer than 1 or more than n clusters.
    """
    if not 1 <= clusters <= len(points):
        raise ValueError(f"{clusters} clusters of {len(points)} points")
    if clusters == len(points):
        return points.clone()
    order = torch.randperm(len(points), generator=generator).to(points.device)
    if len(points) > _POINTS_PER_CLUSTER * clusters:
        points = points[order[: _POINTS_PER_CLUSTER * clusters]]
        order = torch.arange(len(points), device=points.device)  # already in random order
    centroids = points[order[:clusters]]
    for _ in range(iterations):
        members = nearest_centroids(points, centroids)
        sizes = members.bincount(minlength=clusters)
        centroids = torch.zeros_like(centroids).index_add_(0, members, points) / sizes.clamp(min=1)[:, None]
        _fill_empty(centroids, sizes.cpu(), generator)
    return centroids


def nearest_centroids(points: Tensor, centroids: Tensor) -> Tensor:
    """The number of the centroid closest to each point, int64 `[n]`."""
    # ‖x - c‖² = ‖x‖² - 2 (<x, c> - ½ ‖c‖²), and ‖x‖² does not change the order.
    offsets = centroids.square().sum(1) / -2  # [clusters]
    blocks = points.split(max(1, block_entries(points, _BLOCK_ENTRIES) // len(centroids)))
    # On a CPU, max with indices takes a third of the time of argmax.
    return torch.cat([torch.addmm(offsets, block, centroids.T).max(1).indices for block in blocks])


def _fill_empty(centroids: Tensor, sizes: Tensor, generator: torch.Generator) -> None:
    """Split a nonempty cluster for each empty one, in place, and update `sizes`."""
    factors = 1 + _SPLIT * centroids.new_ones(centroids.shape[1])
    factors[1::2] = 1 - _SPLIT
    for empty in (sizes == 0).nonzero().squeeze(1).tolist():
        donor = int(torch.multinomial((sizes - 1).clamp(min=0).double(), 1, generator=generator))
        centroids[empty] = centroids[donor] * factors
        centroids[donor] *= 2 - factors
        sizes[empty] = sizes[donor] // 2
        sizes[donor] -= sizes[empty]
