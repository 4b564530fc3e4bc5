import errno
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from prismrec.content import encode
from prismrec.content.contents import read_items, text_columns
from prismrec.data import load
from prismrec.demo import ShopConfig, make_shop, write_shop
from prismrec.errors import InputError

CONFIG = ShopConfig(users=40, items=60, interactions=300, seed=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "shop"
    write_shop(path, CONFIG)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_files_read_back_as_the_shop_in_memory(folder):
    read, made = load(folder), make_shop(CONFIG).dataset()
    assert read.fingerprint == made.fingerprint
    assert read.catalog is not None
    assert read.catalog.equals(made.catalog)


def test_brands_prices_and_dates_are_no_texts_to_encode(folder):
    assert text_columns(read_items(folder).frame) == ["title", "description"]


def test_the_conditions_of_the_documents_hold_for_some_products(folder):
    table = pl.read_csv(folder / "items.csv", try_parse_dates=True)
    for condition in ("price < 20 and in_stock", "added > '2023-07-01'", "brand = 'FJORD'"):
        assert 0 < len(table.sql(f"select * from self where {condition}")) < len(table)


def test_timestamps_are_those_of_the_log(folder):
    shop = make_shop(CONFIG)
    table = pl.read_csv(folder / "interactions.csv")
    assert table.columns == ["user_id", "item_id", "timestamp", "split"]
    written = table.sort("user_id", "item_id")["timestamp"].to_numpy()
    assert np.array_equal(written, shop.log.timestamps)


def test_features_are_those_of_the_written_pictures_and_texts(folder, tmp_path):
    write_shop(tmp_path / "shop", CONFIG, features=False)
    assert load(tmp_path / "shop").features == {}
    encode(tmp_path / "shop", encoders={"text": "tfidf", "image": "histograms"})
    encoded, written = load(tmp_path / "shop"), load(folder)
    for name in ("image", "text"):
        assert np.array_equal(encoded.features[name], written.features[name])


def test_the_folder_says_that_it_is_synthetic_and_from_which_seed(folder):
    text = (folder / "README.txt").read_text(encoding="utf-8")
    assert "synthetic" in text
    assert "seed 4" in text


def test_the_same_config_writes_the_same_bytes(folder, tmp_path):
    write_shop(tmp_path / "shop", CONFIG)
    assert contents(tmp_path / "shop") == contents(folder)


def test_a_folder_that_is_not_empty_is_refused_and_unchanged(tmp_path):
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(InputError, match="already there"):
        write_shop(tmp_path, CONFIG)
    assert contents(tmp_path) == {"letter.txt": b"keep me"}


def test_a_full_disk_is_an_input_error_and_leaves_nothing(tmp_path, monkeypatch):
    saved = []

    def full_disk(image, path, **options):
        saved.append(path)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(InputError) as refusal:
        write_shop(tmp_path / "shop", CONFIG)
    assert refusal.value.where == str(tmp_path / "shop")
    assert refusal.value.found == "No space left on device"
    assert saved
    assert list(tmp_path.iterdir()) == []
