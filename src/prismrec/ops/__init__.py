"""Fast primitives with their own gradients, each beside its plain PyTorch form.

This package alone calls the compiled kernels and asks which device a tensor is on.
"""

from prismrec.ops._kernels import available as kernels_available
from prismrec.ops._kernels import without_kernels
from prismrec.ops.contrast import info_nce, info_nce_of_pairs
from prismrec.ops.device import block_entries
from prismrec.ops.dropout import dropout
from prismrec.ops.linear import linear, project_features
from prismrec.ops.ranking import bpr_with_penalty, frobenius_norms
from prismrec.ops.rows import (
    RowNumbers,
    distinct_rows,
    distinct_rows_of_batch,
    take_rows,
    take_rows_sparse_grad,
    triplet_rows,
    unit_rows,
)
from prismrec.ops.softmax import edges_of_rows, narrow_softmax, segment_softmax, segment_sum
from prismrec.ops.sparse import SparseMatrix, sampled_product

__all__ = [
    "RowNumbers",
    "SparseMatrix",
    "block_entries",
    "bpr_with_penalty",
    "distinct_rows",
    "distinct_rows_of_batch",
    "dropout",
    "edges_of_rows",
    "frobenius_norms",
    "info_nce",
    "info_nce_of_pairs",
    "kernels_available",
    "linear",
    "narrow_softmax",
    "project_features",
    "sampled_product",
    "segment_softmax",
    "segment_sum",
    "take_rows",
    "take_rows_sparse_grad",
    "triplet_rows",
    "unit_rows",
    "without_kernels",
]
