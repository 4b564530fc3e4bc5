import pytest
import torch
import torch.nn.functional as F

from prismrec.nn import layer_mean
from prismrec.nn.backbone import Backbone
from prismrec.testing import ISOLATED_ITEM, NUM_ITEMS, NUM_USERS, toy_interactions


def tables() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(NUM_USERS, 6, generator=generator), torch.randn(NUM_ITEMS, 6, generator=generator)


@pytest.mark.parametrize("graph", ["rw_self", "sym"])
@pytest.mark.parametrize("name", ["MF", "NGCF", "LightGCN"])
def test_without_layers_a_backbone_returns_the_tables(name: str, graph: str) -> None:
    users, items = tables()
    found_users, found_items = Backbone(name, toy_interactions(), 6, 0, graph, 0.1)(users, items)
    assert torch.equal(found_users, users)
    assert torch.equal(found_items, items)


def test_matrix_factorisation_ignores_the_number_of_layers() -> None:
    users, items = tables()
    found_users, found_items = Backbone("MF", toy_interactions(), 6, 3, "rw_self", 0.1)(users, items)
    assert torch.equal(found_users, users)
    assert torch.equal(found_items, items)


def test_lightgcn_on_the_symmetric_graph_is_the_layer_mean() -> None:
    users, items = tables()
    backbone = Backbone("LightGCN", toy_interactions(), 6, 3, "sym", 0.1)
    torch.testing.assert_close(backbone(users, items), layer_mean(backbone.graph, users, items, 3))


def test_means_over_neighbours_and_the_node_itself_keep_equal_rows_and_isolated_nodes() -> None:
    users, items = tables()
    backbone = Backbone("LightGCN", toy_interactions(), 6, 3, "rw_self", 0.1)
    mean_users, mean_items = backbone(torch.ones(NUM_USERS, 6), torch.ones(NUM_ITEMS, 6))
    torch.testing.assert_close(mean_users, torch.ones(NUM_USERS, 6))
    torch.testing.assert_close(mean_items, torch.ones(NUM_ITEMS, 6))
    _, found_items = backbone(users, items)
    torch.testing.assert_close(found_items[ISOLATED_ITEM], items[ISOLATED_ITEM])


def test_ngcf_averages_rows_of_length_one_and_drops_entries_in_training_only() -> None:
    torch.manual_seed(0)
    backbone = Backbone("NGCF", toy_interactions(), 6, 1, "rw_self", 0.5)
    users, items = tables()
    first, _ = backbone(users, items)
    second, _ = backbone(users, items)
    assert not torch.equal(first, second)
    found_users, found_items = backbone.eval()(users, items)
    torch.testing.assert_close((2 * found_users - users).norm(dim=1), torch.ones(NUM_USERS))
    _, received = backbone.graph(users, items)
    torch.testing.assert_close(2 * found_items - items, F.normalize(backbone.layers[0](items, received), dim=1))
