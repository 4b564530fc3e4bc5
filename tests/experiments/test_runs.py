import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import prismrec
from prismrec.data import Dataset, SplitSpec
from prismrec.data.demo import ShopConfig, make_shop
from prismrec.errors import InputError
from prismrec.experiments.train import make_config
from prismrec.records import Settings
from prismrec.runs import Manifest, Run
from prismrec.types import Interactions

FEW = Settings(epochs=3)


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return make_shop(ShopConfig(users=120, items=80, interactions=1200)).dataset()


@pytest.fixture(scope="module")
def run(shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prismrec.train("LGMRec", shop, {"batch_size": 256}, FEW, out=tmp_path_factory.mktemp("runs") / "run")


def test_a_run_directory_holds_plain_files_and_no_checkpoint(run: Run) -> None:
    assert {path.name for path in run.folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "embeddings.safetensors",
        "users.parquet",
        "items.parquet",
        "interactions.parquet",
        "history.jsonl",
        "metrics.json",
    }


def test_a_loaded_run_gives_the_same_numbers_without_the_data(run: Run, shop: Dataset) -> None:
    loaded = Run.load(run.folder)
    assert loaded.evaluate("test").to_dict() == run.evaluate("test").to_dict()
    assert loaded.evaluate("valid", cutoffs=[20])["recall@20"] == pytest.approx(
        max(record.valid["recall@20"] for record in run.history), rel=1e-6
    )
    assert loaded.recommend(shop.users.id(3)).equals(run.recommend(shop.users.id(3)))
    assert loaded.manifest == run.manifest
    assert json.loads((run.folder / "metrics.json").read_text())["test"] == loaded.evaluate("test").to_dict()


def test_recommendations_are_new_to_the_user_ranked_and_titled(run: Run, shop: Dataset) -> None:
    user = shop.users.id(5)
    table = run.recommend(user, k=7)
    seen = {shop.items.id(i) for part in (shop.train, shop.valid, shop.test) for i in part.items_of(5)}
    assert not seen & set(table["item"])
    assert table["rank"].to_list() == list(range(1, 8))
    assert table["score"].is_sorted(descending=True)
    titles = dict(zip(shop.catalog["item_id"], shop.catalog["title"], strict=True))
    assert [titles[item] for item in table["item"]] == table["title"].to_list()
    everyone = run.recommend_all(k=7)
    assert everyone["user"].n_unique() == len(shop.users)
    assert everyone.filter(pl.col("user") == user)["item"].to_list() == table["item"].to_list()


def test_a_user_who_has_seen_almost_everything_gets_a_shorter_list(run: Run) -> None:
    assert len(run.recommend(run.users.id(0), k=10_000)) < len(run.items)


def test_an_unknown_user_is_refused_with_an_example(run: Run) -> None:
    with pytest.raises(InputError, match=r"user id: found 'nobody'; expected one of 120 known ids, such as"):
        run.recommend("nobody")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "2"}, r"--set layer: found no such hyperparameter; expected one of .*layers"),
        ({"layers": "two"}, r"--set layers: found 'two'; expected .*integer"),
        ({"keep_rate": "1.5"}, r"--set keep_rate: found '1.5'; expected .*less than or equal to 1"),
    ],
)
def test_an_unusable_hyperparameter_is_named(settings: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_config("LGMRec", settings)


def test_names_of_models_forgive_case_and_hyphens() -> None:
    assert type(make_config("mfbpr", {})) is type(make_config("MF-BPR", {}))
    with pytest.raises(InputError, match=r"model: found 'SVD\+\+'; expected one of most-popular, MF-BPR"):
        make_config("SVD++", {})


def test_an_occupied_folder_is_not_written_to(shop: Dataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="something there already"):
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


def test_an_unfinished_or_damaged_run_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no run"):
        Run.load(tmp_path)
    (tmp_path / "config.json").write_text(run.manifest.model_dump_json())
    with pytest.raises(InputError, match="unfinished run"):
        Run.load(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match="complete files"):
        Run.load(tmp_path)


def test_without_validation_the_number_of_epochs_must_be_said(shop: Dataset) -> None:
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


def test_the_test_split_cannot_influence_training(shop: Dataset) -> None:
    shuffled = Interactions.from_pairs(
        np.random.default_rng(0).permutation(shop.test.users), shop.test.items, len(shop.users), len(shop.items)
    )
    other = Dataset(shop.name, shop.train, shop.valid, shuffled, shop.features, shop.present, shop.users, shop.items)
    first, second = (prismrec.train("LightGCN", data, settings=FEW) for data in (shop, other))
    assert np.array_equal(first.embeddings.users, second.embeddings.users)


def test_the_manifest_reads_back_as_written(run: Run) -> None:
    assert Manifest.model_validate_json(run.manifest.model_dump_json()) == run.manifest
    assert run.manifest.modalities.keys() == {"image", "text"}


def test_ml1m_loads_and_splits(real_data: Path) -> None:
    dataset = prismrec.load(real_data / "ml1m", split=SplitSpec("overall", (8, 1, 1), 0))
    assert (len(dataset.users), len(dataset.items)) == (6040, 3260)
    assert len(dataset.train) + len(dataset.valid) + len(dataset.test) == 998_539
