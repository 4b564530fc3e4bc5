import torch

from prismrec.ops.device import block_entries


def test_a_cpu_gets_what_was_asked_for_and_other_devices_more() -> None:
    assert block_entries(torch.empty(1), 7) == 7
    assert block_entries(torch.empty(1, device="meta"), 7) > 1 << 20
