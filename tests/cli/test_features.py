"""`prismrec features`: from a folder with pictures and texts to a data set with features."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prismrec.cli import app
from prismrec.data import load
from prismrec.demo import ShopConfig, write_shop
from prismrec.errors import InputError
from prismrec.runs import Run

DEFAULTS_USED = {"text": "wordllama", "image": "efficientnet-lite0"}
BUILT_IN = ["--text-encoder", "tfidf", "--image-encoder", "histograms"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    write_shop(tmp_path / "shop", ShopConfig(users=20, items=40, interactions=200))
    for path in (tmp_path / "shop" / "features").iterdir():
        path.unlink()
    return tmp_path / "shop"


def run(*words: object) -> str:
    result = CliRunner().invoke(app, ["features", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_pictures_and_texts_become_features(shop):
    printed = run(shop, *BUILT_IN)
    assert "text: 40 of 40 items from title, description by tfidf" in printed
    assert "image: 40 of 40 items from image by histograms" in printed
    assert sorted(load(shop).features) == ["image", "text"]


def test_json_is_one_object_with_the_manifests(shop):
    (shop / "images" / "cap-001.png").write_bytes(b"nothing")
    printed = json.loads(run(shop, *BUILT_IN, "--json"))
    assert printed["image"]["unreadable"] == 1
    assert Path(printed["image"]["path"]).exists()
    assert Path(printed["image"]["report"]).exists()
    assert printed["text"]["columns"] == ["title", "description"]


def test_unreadable_pictures_are_counted_with_the_file_that_lists_them(shop):
    (shop / "images" / "cap-001.png").write_bytes(b"nothing")
    assert "39 of 40 items (0 without, 1 unreadable: " in run(shop, "--image", "image", *BUILT_IN[2:])


def test_one_column_becomes_a_modality_of_its_own(shop):
    run(shop, "--text", "title", "--text-encoder", "tfidf", "--name", "titles")
    assert list(load(shop).features) == ["titles"]


def test_bad_options_are_refused(shop):
    with pytest.raises(InputError, match="device"):
        run(shop, "--device", "tpu")
    with pytest.raises(InputError, match="file_format"):
        run(shop, *BUILT_IN, "--file-format", "hdf5")


def test_three_commands_lead_from_pictures_and_texts_to_recommendations(shop, tmp_path):
    """With the default encoders and pretrained weights, as in the README; `serve` is tested in tests/serving."""
    run(shop)
    out = tmp_path / "run"
    words = ["train", "LGMRec", str(shop), "--out", str(out), "--epochs", "2", "--set", "embedding_size=8", "--quiet"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    trained = Run.load(out)
    assert {name: each.manifest.encoder for name, each in trained.encodings.items()} == DEFAULTS_USED
    assert trained.manifest.modalities == {"image": 1280, "text": 256}
    assert len(trained.recommend(trained.users.id(0), k=5)) == 5
    assert len(trained.similar(trained.items.id(0), 3, by="image")) == 3


def test_ctrl_c_says_how_to_continue(shop, monkeypatch):
    from prismrec import content

    def stopped(*words, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(content, "encode", stopped)
    result = CliRunner().invoke(app, ["features", str(shop)])
    assert result.exit_code == 130
    assert "repeat the command to continue" in result.stderr
