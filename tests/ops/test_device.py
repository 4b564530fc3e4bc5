import pytest
import torch

from prismrec.errors import InputError
from prismrec.ops.device import block_entries, fingerprint, flush_denormals, on_cpu, pick_device, preserve_rng


def test_a_cpu_holds_the_given_number_of_entries_and_other_devices_more() -> None:
    assert block_entries(torch.empty(1), 7) == 7
    assert block_entries(torch.empty(1, device="meta"), 7) > 1 << 20


def test_pick_device_refuses_a_missing_gpu() -> None:
    assert pick_device("cpu").type == "cpu"
    if torch.cuda.is_available():
        assert pick_device("cuda").type == pick_device("auto").type == "cuda"
    else:
        assert pick_device("auto").type == "cpu"
        with pytest.raises(InputError, match="no GPU"):
            pick_device("cuda")


def test_on_cpu_tells_the_device() -> None:
    assert on_cpu(torch.empty(1))
    assert not on_cpu(torch.empty(1, device="meta"))


def test_fingerprints_are_equal_if_and_only_if_values_are() -> None:
    x = torch.arange(12.0).view(3, 4)
    assert torch.equal(fingerprint(x), fingerprint(x.clone()))
    assert torch.equal(fingerprint(x), fingerprint(x.T.contiguous().T))  # the layout in memory does not count
    assert not torch.equal(fingerprint(x), fingerprint(x + 1e-6))


def tiny_products() -> int:
    """How many of four products below the smallest normal number are not zero."""
    return int((torch.full((4,), 1e-30) * 1e-10).count_nonzero())


def test_denormal_numbers_are_zero_inside_the_block_only() -> None:
    assert tiny_products() == 4
    with flush_denormals():
        assert tiny_products() == 0
    assert tiny_products() == 4


def test_a_nested_block_leaves_the_mode_of_the_outer_block() -> None:
    with flush_denormals():
        with flush_denormals():
            pass
        assert tiny_products() == 0
    assert tiny_products() == 4


def test_flush_denormals_restores_the_mode_after_an_error() -> None:
    with pytest.raises(RuntimeError), flush_denormals():
        raise RuntimeError
    assert tiny_products() == 4


def test_preserve_rng_restores_the_global_generator() -> None:
    before = torch.get_rng_state()
    with preserve_rng(torch.device("cpu")):
        torch.manual_seed(123)
        torch.rand(5)
    assert torch.equal(before, torch.get_rng_state())
