import torch

from prismrec.nn import Features


def test_features_keep_their_order_and_may_have_any_name() -> None:
    """Names such as "type" or "a.b" are not allowed as names of buffers."""
    matrices = {"type": torch.randn(4, 3), "a.b": torch.randn(4, 2), "": torch.randn(4, 1)}
    features = Features(matrices)
    assert features.names == ("type", "a.b", "")
    assert features.widths == (3, 2, 1)
    assert len(features) == 3
    assert all(torch.equal(found, given) for found, given in zip(features, matrices.values(), strict=True))


def test_features_are_constants_that_follow_the_model() -> None:
    features = Features({"image": torch.randn(4, 3)})
    assert not list(features.parameters())
    assert not features.state_dict()
    assert [matrix.device.type for matrix in features.to("meta")] == ["meta"]


def test_features_get_the_default_type_except_bfloat16() -> None:
    matrices = {"image": torch.randn(4, 3, dtype=torch.float64), "text": torch.randn(4, 2).bfloat16()}
    assert [matrix.dtype for matrix in Features(matrices)] == [torch.float32, torch.bfloat16]
