"""Places that cannot be written: one line, nothing half-written, and the same command works once there is room."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from fuzzing import Result, call, write_shop
from public_data import movielens_1m, write

COMMANDS = {
    "train": ["train", "MF-BPR", "shop", "--epochs", "2", "--device", "cpu", "--out", "new"],
    "refit": ["refit", "run-a", "--data", "shop-of-run-a", "--out", "new"],
    "update": ["update", "run-a", "--interactions", "clicks.csv", "--out", "new"],
    "update in place": ["update", "run-b", "--interactions", "clicks.csv", "--out", "run-b", "--overwrite"],
    "tune": ["tune", "MF-BPR", "shop", "--epochs", "1", "--trials", "1", "--device", "cpu", "--out", "new"],
    "compare": ["compare", "run-a", "run-c", "--metric", "recall@5", "--out", "new"],
    "index": ["index", "run-b"],
    "page": ["page", "run-a", "--out", "new.html"],
    "features": ["features", "texts", "--text-encoder", "tfidf"],
    "recommend to CSV": ["recommend", "run-a", "--all", "--columns", "all", "--out", "new.csv"],
    "recommend to JSON": ["recommend", "run-a", "--all", "--columns", "all", "--out", "new.json"],
    "recommend to Parquet": ["recommend", "run-a", "--all", "--columns", "all", "--out", "new.parquet"],
    "similar": ["similar", "run-a", "i1", "--out", "new.csv"],
    "split": ["data", "split", "shop", "--out", "new"],
    "convert to a table": ["data", "convert", "shop", "--to", "table", "--out", "new"],
    "convert to MMRec": ["data", "convert", "shop", "--to", "mmrec", "--out", "new"],
    "import": ["data", "import", "ml-1m", "raw", "--out", "new"],
}

WITH_LARGER_FILES = ["train", "refit", "update", "update in place", "compare", "page", "index"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_shop(tmp_path)
    call(["train", "MF-BPR", "shop", "--epochs", "2", "--device", "cpu", "--out", "run-c", "-q"])
    call(["train", "VBPR", "shop", "--epochs", "2", "--device", "cpu", "--out", "run-b", "--overwrite", "-q"])
    call(["train", "VBPR", "shop", "--epochs", "2", "--device", "cpu", "--out", "run-a", "--overwrite", "-q"])
    (tmp_path / "shop-of-run-a").symlink_to("shop")
    pl.DataFrame({"user_id": ["u1", "new"], "item_id": ["i1", "i2"]}).write_csv(tmp_path / "clicks.csv")
    (tmp_path / "texts").mkdir()
    titles = [f"a {colour} mug for tea" for colour in ("red", "blue", "green", "white")]
    pl.DataFrame({"item_id": list("abcd"), "title": titles}).write_csv(tmp_path / "texts" / "items.csv")
    write(tmp_path / "raw", movielens_1m())
    return tmp_path


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let writing beyond this number of bytes of a file fail, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("name", "size"), [*[(name, 10) for name in COMMANDS], *[(name, 1500) for name in WITH_LARGER_FILES]]
)
def test_a_command_that_finds_no_room_ends_in_one_line_and_works_afterwards(name: str, size: int, place: Path) -> None:
    with files_of_at_most(size):
        refused = call(COMMANDS[name])
    assert refused.code == 2, refused
    assert_nothing_half_written(refused, place)
    done = call(COMMANDS[name])
    assert done.code == 0, done.err


def assert_nothing_half_written(refused: Result, place: Path) -> None:
    assert any(reason in refused.err for reason in ("File too large", "no room", "disk"))
    left = {path.name for path in place.rglob(".prismrec-*")} | {path.name for path in place.glob("new.*")}
    assert left == set(), left
    for run in ("run-a", "run-b"):
        assert call(["check", run]).code == 0


def test_a_name_that_is_not_utf8_is_refused_by_every_command(place: Path) -> None:
    name = os.fsdecode(b"n\xe9w")
    before = set(place.iterdir())
    for command, words in COMMANDS.items():
        renamed = [word.replace("new", name) for word in words]
        if renamed != words:
            refused = call(renamed)
            assert refused.code == 2, command
            assert "a path that is not UTF-8" in refused.err, command
    assert set(place.iterdir()) == before


def test_data_in_a_folder_whose_name_is_not_utf8_are_trained_on(place: Path) -> None:
    name = os.fsdecode(b"sh\xe9p")
    (place / "shop").rename(place / name)
    assert call(["train", "MF-BPR", name, "--epochs", "1", "--device", "cpu", "--out", "new"]).code == 0
    assert call(["check", "new"]).code == 0
