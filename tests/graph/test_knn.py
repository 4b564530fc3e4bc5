import pytest
import torch
from torch import Tensor

from prismrec.graph import knn
from prismrec.graph.approximate import Neighbours
from prismrec.graph.knn import NeighbourGraph, NeighbourSearch, knn_graph, nearest_neighbours

import plain


def dense_graph(features: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Ŝ and 𝓛(Ŝ) as dense matrices `[I, I]`, for features without ties and without zero rows."""
    unit = features / features.norm(dim=1, keepdim=True)
    cosines = unit @ unit.T
    kept = torch.zeros_like(cosines, dtype=torch.bool).scatter_(1, cosines.topk(k).indices, True)
    graph = torch.where(kept, cosines, 0.0).clamp(min=0)
    degrees = graph.sum(1)
    return graph, graph / (degrees[:, None] * degrees[None]).sqrt()


def to_dense(graph: NeighbourGraph, values: Tensor) -> Tensor:
    dense = values.new_zeros(graph.pattern.shape)
    return dense.index_put((graph.pattern.rows, graph.pattern.indices.long()), values)


@pytest.fixture
def features(float64: None) -> Tensor:
    return torch.randn(19, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 4, 12, 19])
@pytest.mark.parametrize("entries", [1, 60, 1 << 19])
def test_the_graph_equals_the_dense_graph_for_every_block_size(
    features: Tensor, k: int, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knn, "_BLOCK_ENTRIES", entries)
    monkeypatch.setattr(knn, "_LEAST_ROWS", 1)
    graph = knn_graph(features, k)
    similarities, normalised = dense_graph(features, k)
    torch.testing.assert_close(to_dense(graph, graph.similarities), similarities, rtol=0, atol=1e-12)
    torch.testing.assert_close(to_dense(graph, graph.normalised()), normalised, rtol=0, atol=1e-12)
    torch.testing.assert_close(graph.operator()(features), normalised @ features, rtol=0, atol=1e-12)


def test_the_gradient_of_the_graph_equals_that_of_the_dense_graph(features: Tensor) -> None:
    weights = features.clone().requires_grad_()
    graph = knn_graph(weights, 4)
    _, expected = dense_graph(weights, 4)
    plain.assert_same(to_dense(graph, graph.normalised()), expected, weights)


def test_the_roots_of_the_degrees_are_a_fixed_point(features: Tensor) -> None:
    graph = knn_graph(features, 4)
    root = graph.degrees.sqrt().unsqueeze(1)
    torch.testing.assert_close(graph.operator()(root), root)


def test_among_equal_rows_a_row_itself_comes_first_and_then_the_lowest_number() -> None:
    a, b = [3.0, 4.0], [-4.0, 3.0]
    assert nearest_neighbours(torch.tensor([a, b, a, a, b, a]), 2).rows.tolist() == [
        [0, 2],
        [1, 4],
        [0, 2],
        [0, 3],
        [1, 4],
        [0, 5],
    ]


def test_a_zero_row_is_similar_to_itself_only_and_gradients_stay_finite() -> None:
    features = torch.tensor([[1.0, 2.0], [0.0, 0.0], [2.0, 1.0]], requires_grad=True)
    graph = knn_graph(features, 2)
    expected = torch.tensor([[1.0, 0.0, 0.8], [0.0, 1.0, 0.0], [0.8, 0.0, 1.0]])
    torch.testing.assert_close(to_dense(graph, graph.similarities), expected)
    graph.normalised().square().sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert not features.grad[1].any()


def test_negative_similarities_are_stored_as_zero() -> None:
    graph = knn_graph(torch.tensor([[1.0, 0.1], [-1.0, 0.1], [0.2, 1.0]]), 3)
    assert to_dense(graph, graph.similarities)[0, 1] == 0
    assert graph.similarities.min() == 0


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_length_of_rows_does_not_matter(features: Tensor, scale: float) -> None:
    scaled = features * torch.linspace(1, scale, 19)[:, None]
    torch.testing.assert_close(knn_graph(scaled, 5).normalised(), knn_graph(features, 5).normalised())


def test_at_most_all_rows_are_neighbours() -> None:
    assert nearest_neighbours(torch.eye(3), 7).rows.tolist() == [[0, 1, 2]] * 3


def test_zero_neighbours_are_refused() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        nearest_neighbours(torch.eye(3), 0)


def test_a_training_step_reuses_the_neighbours_of_an_evaluation_of_the_same_vectors(
    features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []
    real_search = knn._search

    def counted_search(unit: Tensor, k: int, method: knn.Method) -> Neighbours:
        searched.append(unit)
        return real_search(unit, k, method)

    monkeypatch.setattr(knn, "_search", counted_search)
    search, moved = NeighbourSearch(4), features.flip(0)
    for vectors, training, searches in (
        (features, False, 1),
        (features, True, 0),  # an epoch after an evaluation
        (features, True, 1),  # an epoch after an epoch
        (features, False, 1),
        (features, False, 1),
        (moved, True, 1),  # the weights have changed since the evaluation
    ):
        searched.clear()
        graph = search(vectors.clone().requires_grad_(), training=training)
        assert len(searched) == searches
        expected = knn_graph(vectors, 4)
        assert torch.equal(graph.pattern.indices, expected.pattern.indices)
        torch.testing.assert_close(graph.similarities, expected.similarities)
        assert graph.similarities.requires_grad
