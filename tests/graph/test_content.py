"""The content graph beside its dense definition."""

import pytest
import torch
from torch import Tensor

from prismrec.graph import content_graph, explaining_factors
from prismrec.graph.content import standardised_rows
from prismrec.testing import NUM_ITEMS, toy_features


def dense(features: list[Tensor], k: int) -> Tensor:
    """C, item by item."""
    total = torch.zeros(NUM_ITEMS, NUM_ITEMS)
    for matrix in features:
        has = [item for item in range(NUM_ITEMS) if not matrix[item].isnan().any()]
        known = matrix[has]
        unit = torch.nn.functional.normalize((known - known.mean(0)) / known.std(0, correction=0))
        cosines = unit @ unit.T
        cosines.fill_diagonal_(-2)
        for row, item in enumerate(has):
            for other in cosines[row].topk(k).indices.tolist():
                total[item, has[other]] += 1 / k / len(features)
    return (total + total.T) / 2


@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_it_equals_the_dense_definition(modalities: int) -> None:
    features = list(toy_features(modalities).values())
    features[0][[2, 5]] = torch.nan
    graph = content_graph(features, 4)
    assert graph is not None
    torch.testing.assert_close(graph(torch.eye(NUM_ITEMS)), dense(features, 4))


def test_an_item_that_lacks_all_modalities_has_no_neighbours() -> None:
    features = toy_features(2)
    for matrix in features.values():
        matrix[3] = torch.nan
    graph = content_graph(features.values(), 4)
    assert graph is not None
    matrix = graph(torch.eye(NUM_ITEMS))
    assert not matrix[3].any()
    assert not matrix[:, 3].any()
    assert (matrix.diagonal() == 0).all()


def test_the_values_of_missing_rows_do_not_change_the_others() -> None:
    matrix = toy_features(1)["visual"]
    without = matrix.clone()
    without[4] = torch.nan
    others = torch.arange(NUM_ITEMS) != 4
    torch.testing.assert_close(standardised_rows(without)[others], standardised_rows(matrix[others]))
    assert not standardised_rows(without)[4].any()


def test_a_column_that_is_constant_up_to_rounding_does_not_count() -> None:
    matrix = toy_features(1)["visual"]
    constant = torch.full((NUM_ITEMS, 1), 0.1)
    constant[::2] += 1e-8
    with_constant = standardised_rows(torch.cat([matrix, constant], 1))
    torch.testing.assert_close(with_constant[:, :-1], standardised_rows(matrix))
    assert not with_constant[:, -1].any()


def test_without_modalities_there_is_no_graph() -> None:
    assert content_graph([], 10) is None


@pytest.mark.parametrize("present", [0, 1])
def test_fewer_than_two_items_with_a_modality_have_no_neighbours(present: int) -> None:
    matrix = torch.full((NUM_ITEMS, 3), torch.nan)
    matrix[:present] = 1.0
    graph = content_graph([matrix], 4)
    assert graph is not None
    assert not graph(torch.eye(NUM_ITEMS)).any()


def test_the_explaining_factors_are_a_ridge_regression(float64: None) -> None:
    features = toy_features(2)
    features["visual"][4] = torch.nan
    x = torch.cat([standardised_rows(matrix) for matrix in features.values()], 1)
    values, directions = torch.linalg.eigh(x.T @ x)
    x = x @ directions[:, -8:]
    ridge = 0.1 * values[-8:].mean()
    expected = x @ torch.linalg.solve(x.T @ x + ridge * torch.eye(8), x.T)
    factors = explaining_factors(features.values(), 8)
    assert factors is not None
    torch.testing.assert_close(factors @ factors.T, expected)
    signal = torch.randn(NUM_ITEMS, 1)
    assert (factors @ (factors.T @ signal)).norm() < signal.norm()


def test_without_features_nothing_is_explained() -> None:
    assert explaining_factors([], 8) is None
    factors = explaining_factors([torch.full((NUM_ITEMS, 3), torch.nan)], 8)
    assert factors is not None
    assert not factors.any()
