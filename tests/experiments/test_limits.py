import pytest
import torch

from prismrec.experiments.limits import measure_limits
from prismrec.experiments.synthetic import random_dataset


def test_the_work_of_a_sparse_product_is_counted_in_bytes() -> None:
    data = random_dataset(40, 20, 100, {"image": 8})
    torch.manual_seed(0)
    sparse = measure_limits(data, width=4, anchors=10, repeats=1)[0]
    bytes_read_and_written = (
        100 * (4 + 4 + 4 * 4) + 40 * 4 * 4 + 40 * 4
    )  # values, columns, rows of the operand; result; offsets
    assert sparse.rate * sparse.seconds * 1e9 == pytest.approx(bytes_read_and_written)
