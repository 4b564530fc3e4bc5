"""How features were made goes with a run, so that new items are encoded in the same way."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from prismrec import Settings, train
from prismrec.cli import app
from prismrec.content import encode, encode_like
from prismrec.data import load, load_items
from prismrec.demo import ShopConfig, write_shop
from prismrec.errors import InputError
from prismrec.experiments.update import update
from prismrec.runs import Run

NEW = 100
BUILT_IN = {"text": "tfidf", "image": "histograms"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A shop, and a folder with 100 items that arrive later, both with pictures and texts and without features."""
    root = tmp_path_factory.mktemp("travelling")
    shop, new = root / "shop", root / "new"
    write_shop(shop, ShopConfig(users=150, items=260, interactions=2500))
    for path in (shop / "features").iterdir():
        path.unlink()
    (shop / "features").rmdir()
    (new / "images").mkdir(parents=True)
    items = pl.read_csv(shop / "items.csv").sample(fraction=1, shuffle=True, seed=0)
    arriving = items.head(NEW)
    arriving.write_csv(new / "items.csv")
    items.tail(-NEW).write_csv(shop / "items.csv")
    for path in arriving["image"]:
        (shop / path).rename(new / path)
    clicks = pl.read_csv(shop / "interactions.csv")
    clicks.filter(~pl.col("item_id").is_in(arriving["item_id"].to_list())).write_csv(shop / "interactions.csv")
    return shop, new


@pytest.fixture(scope="module")
def run(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    shop, _ = folders
    encode(shop, encoders=BUILT_IN)
    out = tmp_path_factory.mktemp("runs") / "run"
    return train("VBPR", load(shop), settings=Settings(epochs=8), out=out)


def test_a_run_says_how_its_features_were_made(run):
    assert run.folder is not None
    loaded = Run.load(run.folder)
    assert {name: each.manifest.encoder for name, each in loaded.encodings.items()} == {
        "image": "histograms",
        "text": "tfidf",
    }
    for name, encoding in run.encodings.items():
        assert encoding.state.keys() == loaded.encodings[name].state.keys()
        for array, values in encoding.state.items():
            assert np.array_equal(values, loaded.encodings[name].state[array])


def test_new_items_with_pictures_and_texts_are_added_without_training(folders, run, tmp_path):
    _, new = folders
    words = ["update", str(run.folder), "--out", str(tmp_path / "updated"), "--items", str(new)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    updated = Run.load(tmp_path / "updated")
    ids = load_items(new).items.ids
    assert len(updated.items) == len(run.items) + NEW
    assert np.array_equal(updated.embeddings.users.numpy(), run.embeddings.users.numpy())
    lists = updated.recommend(candidates=ids.to_list(), k=5)
    assert lists["item"].is_in(ids.to_list()).all()
    assert len(lists) == 5 * len(run.users)
    assert updated.recommend(k=20)["item"].is_in(ids.to_list()).any(), "new items compete with the old ones"
    assert updated.encodings.keys() == run.encodings.keys()


def test_new_items_are_like_known_items_of_their_kind(folders, run, tmp_path):
    _, new = folders
    encode_like(new, run.encodings)
    updated = update(run, tmp_path / "updated", items=load_items(new))
    arrived = load_items(new).items.ids.to_list()
    known = run.items.ids.to_list()
    for modality in ("image", "text"):
        similar = updated.similar(arrived, 1, by=modality, candidates=known)
        same_kind = similar["similar_to"].str.split("-").list.first() == similar["item"].str.split("-").list.first()
        assert same_kind.mean() > 0.4, "one of twelve by chance"


def test_a_second_encoding_of_new_items_costs_nothing(folders, run):
    _, new = folders
    encode_like(new, run.encodings)
    assert [made.newly_encoded for made in encode_like(new, run.encodings).values()] == [0, 0]


@pytest.mark.parametrize("encoders", [{"text": "wordllama"}, {"image": "histograms"}])
def test_features_of_another_encoder_are_refused(folders, run, tmp_path, encoders):
    """Also those of the same encoder that was fitted on other items."""
    _, new = folders
    other = tmp_path / "other"
    (other / "images").mkdir(parents=True)
    for path in [new / "items.csv", *sorted((new / "images").iterdir())]:
        (other / path.relative_to(new)).write_bytes(path.read_bytes())
    encode(other, encoders=encoders)
    encode_like(other, run.encodings)
    before = sorted(path.name for path in (other / "features").iterdir())
    with pytest.raises(InputError, match="features of two encoders cannot be mixed"):
        update(run, tmp_path / "updated", items=load_items(other))
    assert not (tmp_path / "updated").exists()
    assert sorted(path.name for path in (other / "features").iterdir()) == before


def test_features_of_unknown_origin_are_refused(folders, run, tmp_path):
    items = load_items(folders[1]).items.ids.to_list()
    other = tmp_path / "other"
    (other / "features").mkdir(parents=True)
    for name, width in run.manifest.modalities.items():
        np.savez(other / "features" / f"{name}.npz", ids=np.array(items), features=np.ones((NEW, width)))
    with pytest.raises(InputError, match="of unknown origin for a run with features by"):
        update(run, tmp_path / "updated", items=load_items(other))


def test_training_continues_only_with_features_of_the_same_encoder(folders, run, tmp_path):
    shop, _ = folders
    data = load(shop)
    update(run, tmp_path / "continued", epochs=1, dataset=data)
    object.__setattr__(data, "encodings", {})
    with pytest.raises(InputError, match="cannot be mixed"):
        update(run, tmp_path / "again", epochs=1, dataset=data)


def test_items_without_an_old_column_are_refused(folders, run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    pl.read_csv(folders[1] / "items.csv").drop("description").write_csv(other / "items.csv")
    with pytest.raises(InputError, match="no column 'description'"):
        encode_like(other, {"text": run.encodings["text"]})
