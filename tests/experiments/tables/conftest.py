import pytest

from experiments.tables.examples import table
from prismrec.data import Dataset
from prismrec.demo import ShopConfig, make_shop
from prismrec.experiments.tables.sources import Source, as_source


@pytest.fixture(scope="session")
def shop() -> Dataset:
    return make_shop(ShopConfig(users=60, items=40, interactions=600)).dataset()


@pytest.fixture
def source(shop: Dataset) -> Source:
    return as_source(shop, table())
