import torch

from prismrec.graph import knn_graph
from prismrec.nn import Features
from prismrec.nn.item_graphs import GraphSum, OncePerEpoch, Projections, SimilarityGraphs


def graph_sum(seed: int, weight: torch.Tensor) -> GraphSum:
    """The sum of two kNN graphs, which share the diagonal at least, scaled by `weight`."""
    generator = torch.Generator().manual_seed(seed)
    graphs = [knn_graph(torch.randn(9, 4, generator=generator), 3) for _ in range(2)]
    return GraphSum([(graph.pattern, weight * graph.normalised()) for graph in graphs])


def test_the_constant_equals_the_sum_and_has_no_gradient() -> None:
    weight, x = torch.tensor(0.7, requires_grad=True), torch.randn(9, 5)
    both = graph_sum(0, weight)
    assert both(x).requires_grad
    for constant in (both.constant(), both._side_by_side()):  # the forms for a CPU and for a GPU
        torch.testing.assert_close(constant(x), both(x))
        assert not constant(x).requires_grad
    assert len(both.constant().values) < sum(len(values) for _, values in both.terms)


def test_an_epoch_keeps_the_graph_of_its_first_step_and_an_evaluation_builds_its_own() -> None:
    graphs, x, weight = OncePerEpoch(), torch.randn(9, 5), torch.tensor(1.0, requires_grad=True)

    def product(scale: float, *, training: bool) -> torch.Tensor:
        (graph,) = graphs(lambda: [graph_sum(0, scale * weight)], training=training)
        return graph(x)

    first = product(1, training=True)
    second = product(2, training=True)
    evaluated = product(3, training=False)
    third = product(4, training=True)
    assert first.requires_grad
    assert not second.requires_grad
    torch.testing.assert_close(second, first)
    torch.testing.assert_close(evaluated, 3 * first)
    torch.testing.assert_close(third, first)
    graphs.start_epoch()
    torch.testing.assert_close(product(5, training=True), 5 * first)


def test_projections_train_the_features_only_if_asked() -> None:
    features = Features({"a": torch.randn(6, 4), "b": torch.randn(6, 2)})
    for train_features in (True, False):
        projections = Projections(features, 3, train_features=train_features)
        rows = torch.tensor([4, 0, 4])
        for some, every, x, linear in zip(projections(rows), projections(), features, projections.maps, strict=True):
            torch.testing.assert_close(every, x @ linear.weight.T + linear.bias)
            torch.testing.assert_close(some, every[rows])
        assert len(list(projections.parameters())) == (6 if train_features else 4)


def test_similarity_graphs_are_the_knn_graphs_of_the_modalities() -> None:
    features = Features({"a": torch.randn(6, 4), "b": torch.randn(6, 2)})
    x = torch.randn(6, 3)
    for graph, matrix in zip(SimilarityGraphs(features, 2), features, strict=True):
        torch.testing.assert_close(graph(x), knn_graph(matrix, 2).operator()(x))
