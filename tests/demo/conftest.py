"""Small shops, generated once per session."""

from collections.abc import Callable
from functools import cache

import pytest

from prismrec.demo import Shop, ShopConfig, make_shop


@pytest.fixture(scope="session")
def small() -> Callable[..., Shop]:
    """A shop of 600 users, 400 items and 5,000 interactions, with other settings by name."""

    @cache
    def make(**settings: float) -> Shop:
        return make_shop(ShopConfig.model_validate({"users": 600, "items": 400, "interactions": 5000, **settings}))

    return make
