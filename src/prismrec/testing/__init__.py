"""The contract that every model passes and the toy data it runs on, for our tests and for those of other packages.

    from prismrec.testing import RecommenderContract

    class TestMyModel(RecommenderContract):
        model = MyModel

It needs pytest.
"""

from prismrec.testing.contract import RecommenderContract
from prismrec.testing.toys import (
    ISOLATED_ITEM,
    ISOLATED_USER,
    NUM_ITEMS,
    NUM_USERS,
    default_dtype,
    grouped_taste,
    toy_batch,
    toy_features,
    toy_interactions,
    vector_taste,
)

__all__ = [
    "ISOLATED_ITEM",
    "ISOLATED_USER",
    "NUM_ITEMS",
    "NUM_USERS",
    "RecommenderContract",
    "default_dtype",
    "grouped_taste",
    "toy_batch",
    "toy_features",
    "toy_interactions",
    "vector_taste",
]
