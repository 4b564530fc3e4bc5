import pytest
import torch
from torch import Tensor

from prismrec.graph import knn
from prismrec.graph.knn import NeighbourSearch, knn_graph, nearest_neighbours


def dense_graph(features: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Ŝ and 𝓛(Ŝ), both [I, I], in the obvious way; features without ties and without zero rows."""
    unit = features / features.norm(dim=1, keepdim=True)
    cosines = unit @ unit.T
    kept = torch.zeros_like(cosines, dtype=torch.bool).scatter_(1, cosines.topk(k).indices, True)
    graph = torch.where(kept, cosines, 0.0).clamp(min=0)
    degrees = graph.sum(1)
    return graph, graph / (degrees[:, None] * degrees[None]).sqrt()


def to_dense(graph: knn.NeighbourGraph, values: Tensor) -> Tensor:
    dense = values.new_zeros(graph.pattern.shape)
    return dense.index_put((graph.pattern.rows, graph.pattern.indices.long()), values)


@pytest.fixture
def features(float64: None) -> Tensor:
    return torch.randn(19, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 4, 12, 19])
@pytest.mark.parametrize("entries", [1, 60, 1 << 19])
def test_it_equals_the_dense_graph_whatever_the_block(
    features: Tensor, k: int, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knn, "_BLOCK_ENTRIES", entries)
    monkeypatch.setattr(knn, "_LEAST_ROWS", 1)
    graph = knn_graph(features, k)
    similarities, normalised = dense_graph(features, k)
    torch.testing.assert_close(to_dense(graph, graph.similarities), similarities, rtol=0, atol=1e-12)
    torch.testing.assert_close(to_dense(graph, graph.normalised()), normalised, rtol=0, atol=1e-12)
    torch.testing.assert_close(graph.operator()(features), normalised @ features, rtol=0, atol=1e-12)


def test_its_gradient_equals_that_of_the_dense_graph(features: Tensor) -> None:
    upstream = torch.randn(19, 19, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = []
    for normalised in (
        lambda x: to_dense(graph := knn_graph(x, 4), graph.normalised()),
        lambda x: dense_graph(x, 4)[1],
    ):
        weights = features.clone().requires_grad_()
        (normalised(weights) * upstream).sum().backward()
        gradients.append(weights.grad)
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_the_root_of_the_degrees_is_a_fixed_point(features: Tensor) -> None:
    graph = knn_graph(features, 4)
    root = graph.degrees.sqrt().unsqueeze(1)
    torch.testing.assert_close(graph.operator()(root), root)


def test_of_equals_itself_comes_first_then_the_lowest_number() -> None:
    a, b = [3.0, 4.0], [-4.0, 3.0]
    assert nearest_neighbours(torch.tensor([a, b, a, a, b, a]), 2).rows.tolist() == [
        [0, 2],
        [1, 4],
        [0, 2],
        [0, 3],
        [1, 4],
        [0, 5],
    ]


def test_a_zero_row_is_similar_to_itself_alone_and_harms_no_gradient() -> None:
    features = torch.tensor([[1.0, 2.0], [0.0, 0.0], [2.0, 1.0]], requires_grad=True)
    graph = knn_graph(features, 2)
    expected = torch.tensor([[1.0, 0.0, 0.8], [0.0, 1.0, 0.0], [0.8, 0.0, 1.0]])
    torch.testing.assert_close(to_dense(graph, graph.similarities), expected)
    graph.normalised().square().sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert not features.grad[1].any()


def test_negative_similarities_are_kept_as_zero() -> None:
    graph = knn_graph(torch.tensor([[1.0, 0.1], [-1.0, 0.1], [0.2, 1.0]]), 3)
    assert to_dense(graph, graph.similarities)[0, 1] == 0
    assert graph.similarities.min() == 0


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_length_of_a_vector_does_not_matter(features: Tensor, scale: float) -> None:
    scaled = features * torch.linspace(1, scale, 19)[:, None]
    torch.testing.assert_close(knn_graph(scaled, 5).normalised(), knn_graph(features, 5).normalised())


def test_more_neighbours_than_rows_are_all_rows() -> None:
    assert nearest_neighbours(torch.eye(3), 7).rows.tolist() == [[0, 1, 2]] * 3


def test_no_neighbour_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        nearest_neighbours(torch.eye(3), 0)


def test_an_epoch_takes_over_the_neighbours_of_an_evaluation_of_the_same_vectors_alone(
    features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []
    plain_search = knn._nearest

    def noted(unit: Tensor, k: int, method: knn.Method) -> knn.Found:
        searched.append(unit)
        return plain_search(unit, k, method)

    monkeypatch.setattr(knn, "_nearest", noted)
    search, moved = NeighbourSearch(4), features.flip(0)
    for vectors, training, searches in (
        (features, False, 1),
        (features, True, 0),  # an epoch after the evaluation
        (features, True, 1),  # one after no evaluation
        (features, False, 1),
        (features, False, 1),
        (moved, True, 1),  # weights have moved meanwhile
    ):
        searched.clear()
        weights = vectors.clone().requires_grad_()
        graph = search(weights, training=training)
        assert len(searched) == searches
        expected = knn_graph(vectors, 4)
        assert torch.equal(graph.pattern.indices, expected.pattern.indices)
        torch.testing.assert_close(graph.similarities, expected.similarities)
        assert graph.similarities.requires_grad
