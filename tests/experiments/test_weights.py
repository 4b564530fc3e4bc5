"""A model that is too large is refused before its weights are made."""

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from prismrec.data import Dataset
from prismrec.errors import InputError
from prismrec.experiments.synthetic import random_dataset
from prismrec.experiments.train import build_model, make_config
from prismrec.experiments.weights import check_disk, limited_weights, memory_errors
from prismrec.models import REGISTRY
from prismrec.records import Settings

GIB = 1 << 30


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return random_dataset(20_000, 2_000, 60_000, {"image": 16, "text": 8})


@pytest.fixture
def four_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prismrec.experiments.weights.available_memory", lambda: 4 * GIB)


@pytest.mark.usefixtures("four_gib")
@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("MF-BPR", {"embedding_size": 65_536}),
        ("LightGCN", {"embedding_size": 65_536}),
        ("LGMRec", {"embedding_size": 65_536}),
        ("NGCF", {"embedding_size": 16_384, "layers": 100}),
    ],
)
def test_widths_beyond_the_memory_are_refused_at_once(dataset: Dataset, model: str, config: dict[str, object]) -> None:
    start = time.process_time()
    with pytest.raises(InputError, match=rf"{model}: found weights that take .* GiB or more"):
        build_model(model, dataset, make_config(model, config), Settings())
    assert time.process_time() - start < 20


@pytest.mark.usefixtures("four_gib")
@pytest.mark.parametrize("model", [name for name in REGISTRY if name not in ("Prism", "Spectral")])
def test_models_of_the_usual_size_are_built(dataset: Dataset, model: str) -> None:
    build_model(model, dataset, make_config(model, {}), Settings())


def test_weights_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prismrec.experiments.weights.available_memory", lambda: 4 * 3_000)
    with limited_weights("two"):
        nn.Linear(20, 20, bias=False)
    with pytest.raises(InputError, match="two: found weights"), limited_weights("two"):
        nn.Sequential(nn.Linear(20, 20, bias=False), nn.Linear(20, 20, bias=False))
    nn.Linear(1_000, 1_000)  # the limit ends with the block


@pytest.mark.parametrize("error", [MemoryError("allocate"), RuntimeError("DefaultCPUAllocator: cannot allocate")])
def test_a_failed_allocation_is_one_line(error: Exception) -> None:
    expected = r"LGMRec: found no memory left \(.*allocate.*\); expected smaller"
    with pytest.raises(InputError, match=expected), memory_errors("LGMRec"):
        raise error


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors("LGMRec"):
        raise RuntimeError("shapes do not fit")


def test_a_disk_without_room_for_the_weights_is_refused(tmp_path: Path, dataset: Dataset) -> None:
    model = build_model("MF-BPR", dataset, make_config("MF-BPR", {}), Settings())
    check_disk(model, tmp_path)
    model.user_table = nn.Parameter(torch.empty(10**6, 10**9, device="meta"))  # 4 PB
    with pytest.raises(InputError, match=r"bytes of free space; expected .* for the weights and the checkpoint"):
        check_disk(model, tmp_path)
