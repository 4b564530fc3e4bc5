"""From a folder with contents to features that the readers find."""

import csv
import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from filelock import FileLock
from PIL import Image

from prismrec.content import encode, encode_like
from prismrec.content.modality import Encoded
from prismrec.data import Dataset, load, load_items, write_table
from prismrec.errors import InputError, ParameterError

from plain_encoders import Lengths, MeanColour, SlowMeanColour

TEXT = {"text": "tfidf"}


def encode_pictures(folder: Path, **options) -> Encoded:
    given = {"normalise": "none", **options}
    return encode(folder, image=["images"], encoders={"image": MeanColour()}, **given)["image"]


def row_of(dataset: Dataset, modality: str, item: str) -> np.ndarray:
    return dataset.features[modality][dataset.items.number(item)]


def report(encoded: Encoded) -> list[tuple[str, ...]]:
    with encoded.report.open(encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)][1:]


def mean_colour(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32).mean(axis=(0, 1))


@pytest.mark.parametrize("file_format", ["safetensors", "parquet"])
def test_readers_find_the_features_in_the_order_of_the_items(folder, file_format):
    encoded = encode_pictures(folder, file_format=file_format)
    dataset = load(folder)
    assert encoded.path.suffix == f".{file_format}"
    for item in ("item-000", "item-011"):
        picture = mean_colour(folder / "images" / f"{item}.png")
        np.testing.assert_allclose(row_of(dataset, "image", item), picture, rtol=1e-6)
    assert dataset.encodings["image"].manifest == encoded.manifest
    assert not any("not read" in note for note in dataset.notes)


def test_one_process_at_a_time_writes_features_of_a_name(folder):
    (folder / "features").mkdir()
    with FileLock(folder / "features" / ".image.lock"), pytest.raises(InputError, match="another process"):
        encode_pictures(folder)
    assert not (folder / "features" / "image.safetensors").exists()
    with FileLock(folder / "features" / ".other.lock"):
        encode_pictures(folder)
    assert not (folder / "features" / ".image.lock").exists()


def test_everything_is_encoded_without_being_named(folder):
    encoded = encode(folder, encoders={"text": "tfidf", "image": "histograms"})
    assert list(encoded) == ["text", "image"]
    assert encoded["text"].manifest.columns == ("title",)
    assert encoded["image"].manifest.folder == "images"
    assert {name: rows.shape[0] for name, rows in load(folder).features.items()} == {"image": 12, "text": 12}


def test_a_folder_with_pictures_and_no_features_is_told(folder):
    notes = " ".join(load(folder).notes)
    assert f"images/: 12 pictures were not read; `prismrec features {folder}` makes features of them" in notes
    encode(folder, encoders=TEXT)
    assert "12 pictures were not read" in " ".join(load(folder).notes)
    encode_pictures(folder)
    assert "not read" not in " ".join(load(folder).notes)


def test_items_without_good_pictures_are_masked_and_reported(folder):
    images = folder / "images"
    (images / "item-001.png").unlink()
    (images / "item-002.png").write_bytes(b"nothing")
    (images / "item-003.png").write_bytes((images / "item-004.png").read_bytes()[:-200])
    encoded = encode_pictures(folder)
    manifest = encoded.manifest
    assert (manifest.items, manifest.encoded, manifest.missing, manifest.unreadable) == (12, 9, 1, 2)
    assert report(encoded) == [
        ("item-001", "", "missing", "no image"),
        ("item-002", "images/item-002.png", "unreadable", "not a picture, or of an unknown format"),
        ("item-003", "images/item-003.png", "unreadable", "a truncated picture"),
    ]
    dataset = load(folder)
    assert [dataset.items.id(int(row)) for row in np.flatnonzero(~dataset.present["image"])] == [
        "item-001",
        "item-002",
        "item-003",
    ]


def test_a_named_pipe_is_reported_and_not_opened(folder):
    (folder / "images" / "item-001.png").unlink()
    os.mkfifo(folder / "images" / "item-001.png")
    assert report(encode_pictures(folder))[0][3] == "not a regular file"


def test_several_pictures_of_an_item_are_averaged_and_bad_ones_left_out(folder):
    images = folder / "images"
    first, second = mean_colour(images / "item-003.png"), mean_colour(images / "item-004.png")
    (images / "item-003_2.png").write_bytes((images / "item-004.png").read_bytes())
    (images / "item-003_3.png").write_bytes(b"nothing")
    encoded = encode_pictures(folder)
    np.testing.assert_allclose(row_of(load(folder), "image", "item-003"), (first + second) / 2, rtol=1e-6)
    assert encoded.manifest.most_pieces == 2
    assert encoded.manifest.unreadable == 0
    assert report(encoded) == [
        ("item-003", "images/item-003_3.png", "unreadable", "not a picture, or of an unknown format")
    ]


def test_texts_without_good_features_are_masked_and_reported_also_from_the_cache(folder):
    titles = ["", "zero", "nan", "unspeakable", *[f"title {each}" for each in range(8)]]
    pl.read_csv(folder / "items.csv").with_columns(pl.Series("title", titles)).write_csv(folder / "items.csv")
    for _ in range(2):
        encoded = encode(folder, text=["title"], encoders={"text": Lengths()})["text"]
        assert [(item, status) for item, _, status, _ in report(encoded)] == [
            ("item-000", "missing"),
            ("item-001", "unreadable"),
            ("item-002", "unreadable"),
            ("item-003", "unreadable"),
        ]
        assert "only zeros" in report(encoded)[1][3]
        assert "NaN" in report(encoded)[2][3]
    assert load(folder).present["text"].sum() == 8


def test_one_changed_picture_costs_one_encoding(folder):
    assert encode_pictures(folder).newly_encoded == 12
    before = MeanColour.encoded
    assert encode_pictures(folder).newly_encoded == 0
    Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / "images" / "item-005.png")
    encoded = encode_pictures(folder)
    assert encoded.newly_encoded == MeanColour.encoded - before == 1
    assert row_of(load(folder), "image", "item-005").tolist() == [1, 2, 3]


def test_equal_pictures_are_encoded_once(folder):
    for number in range(6):
        (folder / "images" / f"item-{number:03d}.png").write_bytes((folder / "images" / "item-007.png").read_bytes())
    assert encode_pictures(folder).newly_encoded == 6


def test_another_encoder_does_not_use_the_rows_of_the_first(folder):
    class Darker(MeanColour):
        weights = "other"

        def encode(self, batch):
            return super().encode(batch) / 2

    encode_pictures(folder)
    first = row_of(load(folder), "image", "item-003")
    encode(folder, image=["images"], encoders={"image": Darker()}, normalise="none")
    np.testing.assert_allclose(row_of(load(folder), "image", "item-003"), first / 2)


def test_normalisation_is_applied_and_recorded(folder):
    assert encode(folder, image=["images"], encoders={"image": MeanColour()})["image"].manifest.normalisation == "rows"
    raw = encode_pictures(folder)
    assert raw.manifest.normalisation == "none"
    plain = load(folder).features["image"]
    encode_pictures(folder, normalise="rows")
    unit = load(folder).features["image"]
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain, axis=1, keepdims=True), rtol=1e-5)
    encoded = encode_pictures(folder, normalise="standardise")
    standard = load(folder).features["image"]
    np.testing.assert_allclose(standard, (plain - plain.mean(0)) / plain.std(0), rtol=1e-3, atol=1e-4)
    assert encoded.manifest.normalisation == "standardise"
    assert set(load(folder).encodings["image"].state) == {"shift", "scale"}


def test_a_constant_column_is_standardised_to_zero(folder):
    for path in (folder / "images").iterdir():
        pixels = np.asarray(Image.open(path)).copy()
        pixels[:, :, 1] = 77
        Image.fromarray(pixels).save(path)
    encode_pictures(folder, normalise="standardise")
    assert (load(folder).features["image"][:, 1] == 0).all()


def test_features_of_the_user_are_not_replaced(folder):
    (folder / "features").mkdir()
    np.savez(folder / "features" / "image.npz", ids=np.array(["item-000"]), features=np.ones((1, 2)))
    with pytest.raises(InputError, match=r"image\.npz.*did not write.*--name"):
        encode_pictures(folder)
    encode(folder, image=["images"], encoders={"image": MeanColour()}, name="colour")
    assert sorted(load(folder).features) == ["colour", "image"]


def test_features_in_another_format_replace_those_of_an_earlier_call(folder):
    encode_pictures(folder, file_format="parquet")
    encode_pictures(folder)
    assert [path.name for path in (folder / "features").glob("image*")].count("image.parquet") == 0
    assert load(folder).features["image"].shape == (12, 3)


def test_a_manifest_of_other_features_is_ignored_with_a_note(folder):
    encode_pictures(folder)
    ids = np.array([f"item-{number:03d}" for number in range(12)])
    (folder / "features" / "image.safetensors").unlink()
    np.savez(folder / "features" / "image.npz", ids=ids, features=np.ones((12, 2)))
    dataset = load(folder)
    assert dataset.encodings == {}
    assert any("describes other features" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": ["nowhere"]}, "image: found 'nowhere'"),
        ({"text": ["colour"]}, "text: found 'colour'"),
        ({"name": "both"}, "one kind of content, not text, image"),
        ({"text": ["title"], "name": "a/b"}, "name: found 'a/b'"),
        ({"normalise": "l2"}, "normalise: found 'l2'"),
        (
            {"text": ["title"], "encoders": {"text": "histograms"}},
            "text_encoder: found 'histograms', which encodes image",
        ),
        ({"text": ["title"], "encoders": {"text": "word2vec"}}, "encoder: found 'word2vec'"),
        ({"text": ["title"], "encoders": {"text": "nothing:Here"}}, "nothing"),
        ({"audio": ["title"], "encoders": {"audio": "tfidf"}}, "found 'tfidf', which encodes text"),
    ],
)
def test_parameters_that_cannot_be_used_are_named(folder, options, message):
    with pytest.raises(InputError) as error:
        encode(folder, **options)
    assert message in str(error.value)
    assert not (folder / "features" / "text.safetensors").exists()


def test_nothing_to_encode_is_refused(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,price\na,1\nb,2\n")
    with pytest.raises(InputError, match="neither texts, pictures nor sounds"):
        encode(tmp_path)


def test_no_readable_picture_is_refused_with_the_first_reason(folder):
    for path in (folder / "images").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"no image in images/ that can be encoded \(not a picture"):
        encode_pictures(folder)
    assert not (folder / "features" / "image.manifest.json").exists()


def test_pictures_that_were_found_by_item_id_are_named_in_the_item_table(folder):
    assert "image" not in load(folder).catalog.columns
    (folder / "images" / "item-001.png").unlink()
    (folder / "images" / "item-002_2.png").write_bytes((folder / "images" / "item-003.png").read_bytes())
    encode_pictures(folder)
    named = load(folder).catalog["image"].to_list()
    assert named[:3] == ["images/item-000.png", None, "images/item-002.png"]
    assert load_items(folder).catalog["image"].to_list() == named
    table = pl.read_csv(folder / "items.csv").with_columns(image=pl.lit("mine.png"))
    table.write_csv(folder / "items.csv")
    assert load(folder).catalog["image"].to_list() == ["mine.png"] * 12


def test_a_split_or_converted_data_set_says_how_its_features_were_made(folder, tmp_path):
    encode(folder, encoders={"text": "tfidf", "image": "histograms"}, normalise="standardise")
    (folder / "images" / "item-001.png").unlink()
    encode(folder, image=["images"], encoders={"image": "histograms"}, normalise="standardise")
    before = load(folder)
    write_table(before, tmp_path / "split")
    after = load(tmp_path / "split")
    assert after.encodings.keys() == {"image", "text"}
    for name, encoding in before.encodings.items():
        assert after.encodings[name].manifest.difference(encoding.manifest) is None
        for array, values in encoding.state.items():
            assert np.array_equal(after.encodings[name].state[array], values)


def test_one_modality_for_each_name(folder):
    encode(folder, text=["title"], encoders=TEXT, name="titles")
    encode(folder, text=["title"], encoders=TEXT)
    assert sorted(load(folder).features) == ["text", "titles"]


def test_a_fitted_encoder_is_kept_until_it_is_fitted_again(folder):
    first = encode(folder, text=["title"], encoders=TEXT)["text"]
    table = pl.read_csv(folder / "items.csv").with_columns(title="a new blue mug, " + pl.col("title"))
    table.write_csv(folder / "items.csv")
    second = encode(folder, text=["title"], encoders=TEXT)["text"]
    assert second.manifest.weights == first.manifest.weights
    assert any("fitted by an earlier call" in note for note in second.notes)
    third = encode(folder, text=["title"], encoders=TEXT, refit=True)["text"]
    assert third.manifest.weights != first.manifest.weights


def test_new_items_are_encoded_like_the_old_ones(folder, new_folder):
    encode(folder, encoders={"text": "tfidf", "image": "histograms"}, normalise="standardise")
    old = load(folder)
    new = new_folder("new", 5, first=7)  # five of the items of the folder, with equal pictures and other titles
    (new / "items.csv").write_text("".join((folder / "items.csv").read_text().splitlines(keepends=True)[:1]))
    rows = pl.read_csv(folder / "items.csv").tail(5)
    rows.write_csv(new / "items.csv")
    for item in rows["item_id"]:
        (new / "images" / f"{item}.png").write_bytes((folder / "images" / f"{item}.png").read_bytes())
    made = encode_like(new, old.encodings)
    assert sorted(made) == ["image", "text"]
    fresh = load(new)
    for modality in ("image", "text"):
        assert made[modality].manifest.difference(old.encodings[modality].manifest) is None
        for item in rows["item_id"]:
            np.testing.assert_allclose(row_of(fresh, modality, item), row_of(old, modality, item), rtol=1e-5, atol=1e-6)


def test_new_items_without_an_encoded_column_are_refused(folder, new_folder):
    encode(folder, encoders=TEXT)
    new = new_folder("new", 3)
    pl.read_csv(new / "items.csv").rename({"title": "name"}).write_csv(new / "items.csv")
    with pytest.raises(InputError, match="no column 'title'"):
        encode_like(new, load(folder).encodings)


def test_a_parameter_error_names_the_parameter(folder):
    with pytest.raises(ParameterError) as error:
        encode(folder, workers=-1)
    assert error.value.parameter == "workers"


def files_of(folder: Path) -> dict[str, bytes]:
    """The contents of all files but the cache, whose pages depend on its history."""
    found = {path.name: path for path in (folder / "features").iterdir() if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items()}


def _encode_slowly(folder: Path) -> None:
    encode(folder, image=["images"], encoders={"image": SlowMeanColour()}, workers=2)


def kill_while_encoding(folder: Path, kills: int, longest: float) -> int:
    """Start an encoding and kill it after a random time, several times. Returns how many kills hit a living process."""
    hits = 0
    for _ in range(kills):
        process = multiprocessing.get_context("fork").Process(target=_encode_slowly, args=(folder,))
        process.start()
        time.sleep(random.uniform(0, longest))
        assert process.pid is not None
        if process.is_alive():
            hits += 1
            os.kill(process.pid, signal.SIGKILL)
        process.join()
    return hits


def test_an_encoding_that_is_killed_at_random_gives_the_same_bytes(new_folder):
    whole = new_folder("whole", 203)
    start = time.monotonic()
    _encode_slowly(whole)
    longest = (time.monotonic() - start) / 3
    killed = new_folder("killed", 203)
    while kill_while_encoding(killed, 6, longest) < 3:  # it ended before, because the machine has become less busy
        longest /= 2
        killed = new_folder(f"killed {longest}", 203)
    _encode_slowly(killed)
    assert files_of(killed) == files_of(whole)


def test_the_manifest_is_plain_json(folder):
    encode_pictures(folder)
    manifest = json.loads((folder / "features" / "image.manifest.json").read_text(encoding="utf-8"))
    assert manifest["encoder"] == "mean-colour"
    assert manifest["folder"] == "images"
