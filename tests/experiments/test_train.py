import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import prismrec
from prismrec.data import Dataset, SplitSpec
from prismrec.demo import ShopConfig, make_shop
from prismrec.errors import InputError
from prismrec.experiments.train import build_model, make_config
from prismrec.models import ModelConfig
from prismrec.models.popular import MostPopular
from prismrec.records import Settings
from prismrec.runs import Run
from prismrec.types import Interactions

import plain

FEW = Settings(epochs=3)


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return make_shop(ShopConfig(users=120, items=80, interactions=1200)).dataset()


@pytest.fixture(scope="module")
def run(shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prismrec.train("LGMRec", shop, {"batch_size": 256}, FEW, out=tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "2"}, r"config\.layer: found no such hyperparameter; expected one of .*layers"),
        ({"layers": "two"}, r"config\.layers: found 'two'; expected .*integer"),
        ({"keep_rate": "1.5"}, r"config\.keep_rate: found '1.5'; expected .*less than or equal to 1"),
    ],
)
def test_an_invalid_hyperparameter_is_refused_by_name(settings: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_config("LGMRec", settings)


def test_names_of_models_may_differ_in_case_and_hyphens() -> None:
    assert type(make_config("mfbpr", {})) is type(make_config("MF-BPR", {}))
    with pytest.raises(InputError, match=r"model: found 'SVD\+\+'; expected one of Prism, Spectral, most-popular"):
        make_config("SVD++", {})


def test_a_folder_with_other_files_is_refused(shop: Dataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="something already there"):
        prismrec.train("most-popular", shop, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_model_without_its_modality_is_refused_before_anything_is_written(shop: Dataset, tmp_path: Path) -> None:
    bare = Dataset(shop.name, shop.train, shop.valid, shop.test, {}, {}, shop.users, shop.items)
    with pytest.raises(InputError, match="1 or more for VBPR"):
        prismrec.train("VBPR", bare, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_resuming_with_other_settings_is_refused(run: Run, shop: Dataset) -> None:
    with pytest.raises(InputError, match=r"config = .*batch_size"):
        prismrec.train("LGMRec", shop, {"batch_size": 512}, FEW, out=run.folder, resume=True)


def test_resuming_a_finished_run_returns_it(run: Run, shop: Dataset) -> None:
    before = (run.folder / "metrics.json").stat().st_mtime_ns
    again = prismrec.train("LGMRec", shop, {"batch_size": 256}, FEW, out=run.folder, resume=True)
    assert again.evaluate("test").to_dict() == run.evaluate("test").to_dict()
    assert (run.folder / "metrics.json").stat().st_mtime_ns == before


def test_a_run_says_why_it_ended_in_memory_and_in_its_files(run: Run, shop: Dataset, tmp_path: Path) -> None:
    assert run.ending.reason == "epoch_limit"
    assert Run.load(run.folder).ending == run.ending
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert metrics["ended_by"] == "epoch_limit"
    assert metrics["rising"] is run.ending.rising
    impatient = prismrec.train("MF-BPR", shop, settings=Settings(epochs=500, patience=1), out=tmp_path / "run")
    assert impatient.ending.reason == "no_improvement"
    assert impatient.ending.epochs == impatient.ending.best_epoch + 1 < 500
    assert prismrec.train("most-popular", shop).ending.reason == "untrained"


def test_without_validation_data_the_number_of_epochs_must_be_given(shop: Dataset) -> None:
    everything = Interactions.from_pairs(
        np.concatenate([part.users for part in (shop.train, shop.valid)]),
        np.concatenate([part.items for part in (shop.train, shop.valid)]),
        len(shop.users),
        len(shop.items),
    )
    none = Interactions.from_pairs([], [], len(shop.users), len(shop.items))
    whole = Dataset(shop.name, everything, none, shop.test, {}, {}, shop.users, shop.items)
    with pytest.raises(InputError, match="no validation interactions"):
        prismrec.train("MF-BPR", whole)
    assert len(prismrec.train("MF-BPR", whole, settings=Settings(epochs=2)).history) == 2


def test_training_does_not_read_the_test_split(shop: Dataset) -> None:
    shuffled = Interactions.from_pairs(
        np.random.default_rng(0).permutation(shop.test.users), shop.test.items, len(shop.users), len(shop.items)
    )
    other = Dataset(shop.name, shop.train, shop.valid, shuffled, shop.features, shop.present, shop.users, shop.items)
    first = prismrec.train("LightGCN", shop, settings=FEW)
    second = prismrec.train("LightGCN", other, settings=FEW)
    assert torch.equal(first.embeddings.users, second.embeddings.users)
    assert torch.equal(first.embeddings.items, second.embeddings.items)


def test_build_model_is_a_function_of_the_seed_and_leaves_the_random_generator_as_it_was(shop: Dataset) -> None:
    config = make_config("LGMRec", {})
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first = build_model("LGMRec", shop, config, Settings(seed=1)).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    again = build_model("LGMRec", shop, config, Settings(seed=1)).state_dict()
    other = build_model("LGMRec", shop, config, Settings(seed=2)).state_dict()
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    assert not torch.equal(other["user_table"], first["user_table"])


@pytest.mark.parametrize("threads", [1, 2])
def test_train_leaves_the_settings_of_the_process_as_they_were(shop: Dataset, threads: int) -> None:
    """The global random generator, the number of threads, the default type and the mode for denormal numbers."""
    with plain.threads(threads):
        torch.manual_seed(123)
        before = torch.get_rng_state()
        prismrec.train("LightGCN", shop, settings=FEW).evaluate("test")
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_num_threads() == threads
        assert torch.get_default_dtype() == torch.float32
        assert (torch.full((4,), 1e-30) * 1e-10).all()


def test_ml1m_loads_and_splits(real_data: Path) -> None:
    dataset = prismrec.load(real_data / "ml1m", split=SplitSpec("overall", (8, 1, 1), 0))
    assert (len(dataset.users), len(dataset.items)) == (6040, 3260)
    assert len(dataset.train) + len(dataset.valid) + len(dataset.test) == 998_539


def test_items_that_lack_a_modality_are_nan_for_models_that_tell_them_apart_and_filled_for_others(
    shop: Dataset,
) -> None:
    name = next(iter(shop.features))
    present = {modality: has.copy() for modality, has in shop.present.items()}
    present[name][[3, 7]] = False
    marked = replace(shop, present=present)
    seen = {}

    class Both(MostPopular):
        name = "Both"
        accepts_missing = True

        def __init__(self, train: Interactions, features: Mapping[str, torch.Tensor], config: ModelConfig) -> None:
            super().__init__(train, features, config)
            seen[type(self)] = features[name]

    class Filled(Both):
        accepts_missing = False

    build_model(Both, marked, ModelConfig(), FEW)
    build_model(Filled, marked, ModelConfig(), FEW)
    assert seen[Both].isnan().all(1).nonzero().flatten().tolist() == [3, 7]
    assert torch.equal(seen[Filled], torch.from_numpy(shop.features[name]))
    assert not np.isnan(shop.features[name]).any()


def test_what_a_model_chooses_is_in_its_metrics(shop: Dataset, tmp_path: Path) -> None:
    prismrec.train("Spectral", shop, {"exponent": 1.5}, out=tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["chosen"].keys() == {"added_degree", "content_weight", "explained_weight", "rank"}
    again = prismrec.train("Spectral", shop, {"exponent": 1.5, **metrics["chosen"]})
    assert again.evaluate("test")["recall@20"] == pytest.approx(metrics["test"]["recall@20"], rel=1e-3)
