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
def test_without_layers_it_is_the_tables(name: str, graph: str) -> None:
    users, items = tables()
    for ours, table in zip(
        Backbone(name, toy_interactions(), 6, 0, graph, 0.1)(users, items), (users, items), strict=True
    ):
        assert torch.equal(ours, table)


def test_matrix_factorisation_has_no_layers_to_count() -> None:
    assert torch.equal(Backbone("MF", toy_interactions(), 6, 3, "rw_self", 0.1)(*tables())[0], tables()[0])


def test_light_propagation_of_the_symmetric_graph_is_lightgcns() -> None:
    backbone = Backbone("LightGCN", toy_interactions(), 6, 3, "sym", 0.1)
    for ours, theirs in zip(backbone(*tables()), layer_mean(backbone.graph, *tables(), 3), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_means_over_neighbours_and_oneself_leave_equal_rows_and_lonely_nodes_alone() -> None:
    backbone = Backbone("LightGCN", toy_interactions(), 6, 3, "rw_self", 0.1)
    users, items = backbone(torch.ones(NUM_USERS, 6), torch.ones(NUM_ITEMS, 6))
    torch.testing.assert_close(users, torch.ones(NUM_USERS, 6))
    torch.testing.assert_close(items, torch.ones(NUM_ITEMS, 6))
    torch.testing.assert_close(backbone(*tables())[1][ISOLATED_ITEM], tables()[1][ISOLATED_ITEM])


def test_ngcf_averages_rows_of_length_one_and_drops_entries_in_training_only() -> None:
    torch.manual_seed(0)
    backbone = Backbone("NGCF", toy_interactions(), 6, 1, "rw_self", 0.5)
    users, items = tables()
    first, second = backbone(users, items)[0], backbone(users, items)[0]
    assert not torch.equal(first, second)
    shown = backbone.eval()(users, items)
    torch.testing.assert_close((2 * shown[0] - users).norm(dim=1), torch.ones(NUM_USERS))
    received = backbone.graph(users, items)[1]
    torch.testing.assert_close(2 * shown[1] - items, F.normalize(backbone.layers[0](items, received), dim=1))
