"""More than two modalities: two texts of their own and pictures, from the item table to trained models."""

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from prismrec import Settings, train
from prismrec.cli import app
from prismrec.data import load
from prismrec.runs import Run

NAMES = ["genres", "image", "text"]


def prismrec(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def films(folder):
    """Twelve films with a title, genres as MovieLens writes them, and a poster."""
    genres = ["Comedy|Romance", "Drama", "Action|Thriller|Drama", "Comedy|Drama"]
    items = pl.read_csv(folder / "items.csv").with_columns(genres=pl.Series([genres[n % 4] for n in range(12)]))
    items.write_csv(folder / "items.csv")
    prismrec("features", folder, "--text", "title", "--text-encoder", "wordllama", "-q")
    prismrec("features", folder, "--text", "genres", "--name", "genres", "--text-encoder", "wordllama", "-q")
    prismrec("features", folder, "--image", "images", "--image-encoder", "histograms", "-q")
    return folder


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("LATTICE", {}),
        ("LGMRec", {}),
        ("Prism", {"content_weight": 0.3, "explained_weight": 1.0}),  # else it leaves out what does not help
        ("VBPR", {}),
        ("BM3", {}),
    ],
)
def test_models_are_trained_on_three_modalities_and_the_third_one_counts(films, tmp_path, model, config):
    out = tmp_path / "run"
    options = [word for name, value in config.items() for word in ("--set", f"{name}={value}")]
    prismrec("train", model, films, "--out", out, "--epochs", 2, "-q", *options)
    run = Run.load(out)
    assert sorted(run.manifest.modalities) == NAMES
    assert {name: each.manifest.columns for name, each in run.encodings.items()}["genres"] == ("genres",)
    two = load(films, modalities=["image", "text"])
    without = train(model, two, config, Settings(epochs=2))
    assert not np.array_equal(run.embeddings.items.numpy(), without.embeddings.items.numpy())


def test_items_of_the_same_genres_have_the_same_row(films):
    data = load(films)
    assert sorted(data.features) == NAMES
    rows = data.features["genres"]
    for first in range(12):
        same = [np.array_equal(rows[first], rows[other]) for other in range(12)]
        assert same == [first % 4 == other % 4 for other in range(12)]
