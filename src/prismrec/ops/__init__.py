"""Fast primitives with their own gradients, each beside its plain PyTorch form.

This package alone calls the compiled kernels and asks which device a tensor is on. Operations that a single model uses
are imported from their modules.
"""

from prismrec.ops._kernels import available as kernels_available
from prismrec.ops._kernels import without_kernels
from prismrec.ops.contrast import info_nce
from prismrec.ops.device import block_entries
from prismrec.ops.linear_maps import linear, project_features
from prismrec.ops.rows import (
    RowNumbers,
    distinct_rows,
    distinct_rows_of_batch,
    take_rows,
    take_rows_sparse_grad,
    triplet_rows,
    unit_rows,
)
from prismrec.ops.softmax import narrow_softmax, segment_softmax
from prismrec.ops.sparse import SparseMatrix, sampled_product
from prismrec.ops.uniform_dropout import dropout

__all__ = [
    "RowNumbers",
    "SparseMatrix",
    "block_entries",
    "distinct_rows",
    "distinct_rows_of_batch",
    "dropout",
    "info_nce",
    "kernels_available",
    "linear",
    "narrow_softmax",
    "project_features",
    "sampled_product",
    "segment_softmax",
    "take_rows",
    "take_rows_sparse_grad",
    "triplet_rows",
    "unit_rows",
    "without_kernels",
]
