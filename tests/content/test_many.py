"""Many pictures of which some are broken in ten ways, as `benchmarks/content.py broken` makes them."""

import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

import prismrec
from prismrec.content import encode


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    root = Path(prismrec.__file__).parents[2]
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    module = __import__("content")
    for name in ("content", "measured"):  # other tests import them too
        monkeypatch.delitem(sys.modules, name)
    return module


def test_every_broken_picture_is_reported_and_no_other(benchmark, tmp_path):
    made = benchmark.write_pictures(tmp_path / "shop", 300, share=0.1)
    encoded = encode(tmp_path / "shop", image=["image"], encoders={"image": "histograms"})["image"]
    assert Counter(made.values()) == dict.fromkeys(benchmark.WAYS, 3)
    assert benchmark.reported(encoded.report).keys() == made.keys()
    assert encoded.manifest.encoded == 270
    assert encoded.manifest.missing == 3, "dangling links"
    assert encoded.manifest.unreadable == 27
