import pytest
import torch

from prismrec.nn.layers import AttentionFusion


@pytest.mark.parametrize("maps", [1, 3])
def test_it_weighs_each_row_by_itself_and_weights_add_up_to_one(maps: int) -> None:
    torch.manual_seed(0)
    fusion, views = AttentionFusion(5, maps), [torch.randn(7, 5) for _ in range(3)]
    shares = fusion.weights(views)
    torch.testing.assert_close(shares.sum(1), torch.ones(7))
    torch.testing.assert_close(fusion([view[2:3] for view in views]), fusion(views)[2:3])
    expected = sum(shares[:, m : m + 1] * view for m, view in enumerate(views))
    torch.testing.assert_close(fusion(views), expected)


def test_a_map_of_its_own_tells_equal_views_apart_and_a_shared_one_does_not() -> None:
    torch.manual_seed(0)
    views = [torch.randn(7, 5)] * 2
    torch.testing.assert_close(AttentionFusion(5, 1).weights(views), torch.full((7, 2), 0.5))
    assert (AttentionFusion(5, 2).weights(views) - 0.5).abs().min() > 1e-4


def test_views_that_agree_are_what_they_are_fused_to() -> None:
    view = torch.randn(7, 5)
    torch.testing.assert_close(AttentionFusion(5, 3)([view] * 3), view)
