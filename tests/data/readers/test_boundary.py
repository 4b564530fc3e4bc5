"""Everything that is not a file is refused in one line. Nothing waits, and no foreign exception is raised."""

import os
import socket
import stat
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from prismrec.data import SplitSpec, load
from prismrec.data.readers.boundary import foreign_errors, quiet_panics
from prismrec.errors import InputError

TABLE = {"interactions.csv": "user,item\na,x\na,y\nb,x\n"}
NUMBERED = "userID\titemID\tx_label\n0\t0\t0\n0\t2\t1\n1\t1\t2\n"


def pipe(path):
    os.mkfifo(path)


def directory(path):
    path.mkdir()


def dangling(path):
    path.symlink_to("/nowhere/at/all")


def loop(path):
    path.symlink_to(path)


def listening(path):
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may have 107 bytes
    server.bind(path.name)
    os.chdir(here)
    server.close()


def device(path):
    path.symlink_to("/dev/zero")


KINDS = {
    pipe: "a named pipe",
    dangling: "a link to a missing file",
    loop: "symbolic links",
    listening: "a socket",
    device: "a device",
}
PLACES = {
    "interactions.csv": {},
    "interactions.parquet": {},
    "shop.inter": {},
    "5-core/train.json": {"5-core/readme": ""},
    "5-core/val.json": {"5-core/train.json": "{}"},
    "items.csv": TABLE,
    "users.parquet": TABLE,
    "features": TABLE,
    "features/image.npy": TABLE | {"features/readme": ""},
    "features/image.npz": TABLE | {"features/readme": ""},
    "features/image.parquet": TABLE | {"features/readme": ""},
    "features/image.safetensors": TABLE | {"features/readme": ""},
    "features/image.ids.txt": TABLE | {"features/image.npy": np.ones((2, 3))},
    "image_feat.npy": {"shop.inter": NUMBERED},
    "shop.item": {"shop.inter": "user_id:token\titem_id:token\na\tx\n"},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_nothing_but_files_is_opened(kind, place, folder):
    source = folder({"readme": ""} | PLACES[place])
    kind(source / place)
    with pytest.raises(InputError) as refusal:
        load(source)
    error = refusal.value
    expected = "a file" if place == "features" and kind not in (dangling, loop) else KINDS[kind]
    assert expected in error.found
    assert error.where == str(source / place)


@pytest.mark.parametrize("place", [place for place in PLACES if place != "features"])
def test_a_folder_is_no_file(place, folder):
    source = folder({"readme": ""} | PLACES[place])
    directory(source / place)
    try:
        dataset = load(source)
    except InputError as error:
        assert "\n" not in str(error)
        assert "a folder" in error.found or "no interactions" in error.found
    else:
        assert place == "shop.inter"
        assert len(dataset.train)


def test_a_folder_beside_the_interactions_does_no_harm(folder):
    source = folder(TABLE)
    (source / "x.inter").mkdir()
    dataset = load(source)
    assert len(dataset.users) == 2
    assert "files not read: 'x.inter'" in dataset.notes


def test_a_name_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(InputError, match="File name too long"):
        load("a" * 300)
    with pytest.raises(InputError, match="File name too long"):
        load(tmp_path / ("a" * 300) / "interactions.csv")


@pytest.mark.parametrize("name", ["a\0b", "", "\ud800"])
def test_impossible_names_are_refused(name, tmp_path):
    with pytest.raises(InputError):
        load(tmp_path / "shop" / name)


def test_letters_of_patterns_in_names_are_letters(folder, tmp_path):
    folder(TABLE)
    folder({"interactions.parquet/readme": ""})
    other = tmp_path / "shop2"
    other.mkdir()
    pl.DataFrame({"user": [1], "item": [2]}).write_parquet(other / "interactions.parquet")
    for name in ("shop[12]", "shop*", "shop?", "sh{o,}p", "~", "$HOME", "s3:", "%41"):
        copy = tmp_path / name
        (copy / "features").mkdir(parents=True)
        pl.DataFrame({"user": [5], "item": [6]}).write_parquet(copy / "interactions.parquet")
        pl.DataFrame({"item": [6], "f": [[1.0]]}).write_parquet(copy / "features" / "a[b]*.parquet")
        (copy / "items.csv").write_text("item,title\n6,six\n")
        dataset = load(copy)
        assert dataset.users.ids.to_list() == ["5"]
        assert list(dataset.features) == ["a[b]*"]


def test_names_that_are_not_utf8_are_read_and_shown_as_escapes(folder, tmp_path):
    source = folder(TABLE | {"features/text.npz": {"ids": np.array(["x"]), "features": np.ones((1, 2))}})
    name = os.fsdecode(b"caf\xe9")
    (source / os.fsdecode(b"r\xe9sum\xe9.pdf")).touch()
    source.rename(tmp_path / name)
    dataset = load(tmp_path / name)
    assert dataset.name == "caf\\xe9"
    assert any("r\\xe9sum\\xe9.pdf" in note for note in dataset.notes)
    (tmp_path / name / "features" / "text.npz").rename(tmp_path / name / "features" / os.fsdecode(b"t\xe9.npz"))
    with pytest.raises(InputError, match="not UTF-8"):
        load(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("place", ["interactions.csv", "features", "features/image.npz"])
def test_what_may_not_be_read_is_refused(place, folder):
    source = folder(TABLE | {"features/image.npz": {"ids": np.array(["x"]), "features": np.ones((1, 2))}})
    (source / place).chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        load(source)
    (source / place).chmod(stat.S_IRWXU)


@pytest.mark.parametrize(
    ("raised", "found"),
    [
        (MemoryError(), "more data than fits into memory"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (RecursionError("too deep\nby far"), "too deep"),
        (pl.exceptions.ComputeError("no"), "no"),
        (pl.exceptions.PanicException("panicked"), "panicked"),
        (KeyError(), "KeyError"),
    ],
)
def test_every_error_of_a_library_becomes_one_line(raised, found):
    with pytest.raises(InputError) as refusal, foreign_errors("here", "a file"):
        raise raised
    assert found in refusal.value.found
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_stopping_the_program_is_no_error_of_a_file(stop):
    with pytest.raises(stop), foreign_errors("here", "a file"):
        raise stop


def test_native_output_is_dropped_on_failure_and_kept_otherwise(capfd):
    with quiet_panics():
        os.write(2, b"a warning\n")
    assert capfd.readouterr().err == "a warning\n"
    with pytest.raises(ValueError, match="stop"), quiet_panics():
        os.write(2, b"a backtrace\n")
        raise ValueError("stop")
    assert capfd.readouterr().err == ""


def test_dates_that_the_split_does_not_need_are_not_read(folder):
    source = folder({"interactions.csv": "user,item,time,split\na,x,soon,train\nb,y,later,dev\n"})
    dataset = load(source, split=SplitSpec(by="user"))
    assert len(dataset.train) == 2
    assert "the file's own split labels were set aside" in dataset.notes
