import pytest
import torch
from torch import Tensor

from prismrec.ops.cluster import kmeans, nearest_centroids


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inertia(points: Tensor, centroids: Tensor) -> float:
    """The sum of squared distances to the nearest centroid."""
    return torch.cdist(points, centroids).min(1).values.square().sum().item()


def test_the_nearest_centroid_has_the_smallest_euclidean_distance() -> None:
    """Not the largest cosine: the centroids have different lengths."""
    torch.manual_seed(0)
    points, centroids = torch.randn(50, 3), torch.randn(7, 3) * torch.arange(1, 8)[:, None]
    assert torch.equal(nearest_centroids(points, centroids), torch.cdist(points, centroids).argmin(1))


def test_well_separated_clusters_are_found() -> None:
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    kinds = torch.arange(60) % 3
    points = centres[kinds] + 0.1 * torch.randn(60, 2)
    runs = [kmeans(points, 3, seeded(seed)) for seed in range(5)]
    centroids = min(runs, key=lambda found: inertia(points, found))
    members = nearest_centroids(points, centroids)
    means = torch.stack([points[kinds == kind].mean(0) for kind in range(3)])
    torch.testing.assert_close(centroids[members], means[kinds])


def test_more_iterations_never_fit_worse() -> None:
    torch.manual_seed(1)
    points = torch.randn(300, 4, dtype=torch.float64)
    fits = [inertia(points, kmeans(points, 5, seeded(), iterations)) for iterations in range(12)]
    assert fits == sorted(fits, reverse=True)
    assert fits[-1] < 0.8 * fits[0]


def test_an_empty_cluster_takes_half_of_another_one() -> None:
    """40 of 44 points are equal, so most first centroids are equal and all but one of their clusters are empty."""
    points = torch.cat([torch.tensor([[5.0, 3.0]]).repeat(40, 1), torch.tensor([[9, 9], [-9, 9], [-9, -9], [9, -9.0]])])
    for seed in range(10):
        centroids = kmeans(points, 4, seeded(seed))
        assert len(nearest_centroids(points, centroids).unique()) > 2
        assert centroids.isfinite().all()


def test_with_one_cluster_per_point_the_centroids_are_the_points() -> None:
    points = torch.randn(6, 2)
    assert torch.equal(kmeans(points, 6, seeded()), points)


def test_at_most_256_points_per_cluster_are_used() -> None:
    centroid = kmeans(torch.eye(300), 1, seeded())[0]
    torch.testing.assert_close(centroid[centroid > 0], torch.full((256,), 1 / 256))


@pytest.mark.parametrize("clusters", [0, 5])
def test_an_impossible_number_of_clusters_is_refused(clusters: int) -> None:
    with pytest.raises(ValueError, match=f"{clusters} clusters of 4 points"):
        kmeans(torch.randn(4, 2), clusters, seeded())


def test_the_result_depends_on_the_generator_alone() -> None:
    torch.manual_seed(2)
    points = torch.randn(100, 3)
    before = torch.get_rng_state()
    first, second = kmeans(points, 8, seeded(1)), kmeans(points, 8, seeded(1))
    assert torch.equal(first, second)
    assert not torch.equal(first, kmeans(points, 8, seeded(2)))
    assert torch.equal(before, torch.get_rng_state())
