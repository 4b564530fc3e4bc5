import numpy as np
import pytest

from prismrec.content.cache import Cache
from prismrec.errors import InputError


def test_rows_come_back_in_the_order_asked_for_with_their_bits(tmp_path):
    rows = np.random.default_rng(0).normal(size=(1200, 3)).astype(np.float32)
    keys = [number.to_bytes(16) for number in range(1200)]
    with Cache(tmp_path / "rows.sqlite", 3) as cache:
        cache.add(keys, list(rows), [""] * 1200)
    with Cache(tmp_path / "rows.sqlite", 3) as cache:
        order = np.random.default_rng(1).integers(0, 1200, 3000)
        assert np.array_equal(cache.rows([keys[number] for number in order]), rows[order])
        assert all(key in cache for key in keys)
        assert (1200).to_bytes(16) not in cache


def test_contents_without_features_are_remembered_with_their_reason(tmp_path):
    with Cache(tmp_path / "rows.sqlite", 2) as cache:
        cache.add([b"a", b"b", b"c"], [np.ones(2, np.float32), None, np.ones(2, np.float32)], ["", "zeros", "2 frames"])
        assert cache.failures([b"a", b"b", b"c"]) == {b"b": "zeros"}
        assert cache.notes([b"a", b"b", b"c"]) == {b"c": "2 frames"}


def test_a_damaged_cache_is_named(tmp_path):
    path = tmp_path / "rows.sqlite"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(InputError, match=r"rows\.sqlite.*may be deleted"):
        Cache(path, 2)
