"""What the authors of the other package write."""

from prismrec_outside import MeanOfItems

from prismrec.testing import RecommenderContract


class TestMeanOfItems(RecommenderContract):
    model = MeanOfItems
