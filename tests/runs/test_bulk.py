"""Lists of all users in parts: complete and in order after kills, in shards and on Ray."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from filelock import FileLock
from typer.testing import CliRunner

import prismrec
from prismrec.cli import app
from prismrec.errors import InputError, ParameterError
from prismrec.records import Settings
from prismrec.retrieval import Filters
from prismrec.runs import Run, bulk
from prismrec.runs.bulk import BulkRequest, Progress, write_recommendations
from prismrec.types import Embeddings

USERS, ITEMS = 50, 20
REQUEST = BulkRequest(k=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    rng = np.random.default_rng(0)
    pairs = [(f"u{user}", f"i{item}") for user in range(USERS) for item in rng.permutation(ITEMS)[:6]]
    items = {"item_id": [f"i{item}" for item in range(ITEMS)], "price": range(ITEMS)}
    out = tmp_path_factory.mktemp("runs") / "run"
    return prismrec.train("LightGCN", prismrec.dataset(pairs, items), settings=Settings(epochs=1), out=out)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_LARGEST_BLOCK", 8)  # 7 blocks


def expected(run: Run, **options: object) -> pl.DataFrame:
    return run.recommend(k=4, columns=[], **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same(path: Path, table: pl.DataFrame) -> None:
    found = pl.read_parquet(path)
    assert found.drop("score").equals(table.drop("score"))
    np.testing.assert_allclose(found["score"], table["score"], rtol=1e-5)  # products round by shape


def test_the_file_has_the_lists_of_all_users_in_order_and_nothing_is_left_beside_it(run: Run, tmp_path: Path) -> None:
    reports: list[Progress] = []
    written = write_recommendations(run, tmp_path / "all.parquet", REQUEST, report=reports.append)
    assert_same(tmp_path / "all.parquet", expected(run))
    assert (written.users, written.rows, written.notes) == (USERS, 4 * USERS, ())
    assert [report.done for report in reports] == [8, 16, 24, 32, 40, 48, 50]
    assert reports[-1].seconds_left == 0
    assert names(tmp_path) == ["all.parquet"]


def test_filters_apply_and_notes_say_who_got_less(run: Run, tmp_path: Path) -> None:
    request = replace(REQUEST, filters=Filters.of(where="price < 5", exclude=["i0"]), columns=("price",))
    written = write_recommendations(run, tmp_path / "all.parquet", request)
    with pytest.warns(UserWarning, match="fewer than 4 items"):
        table = run.recommend(k=4, where="price < 5", exclude=["i0"], columns=["price"])
    assert_same(tmp_path / "all.parquet", table)
    assert written.rows == len(table)
    assert any("fewer than 4 items left" in note for note in written.notes)


class StoppedError(Exception):
    pass


def stop_after(blocks: int) -> Iterator[None]:
    for _ in range(blocks):
        yield
    raise StoppedError


def test_an_interrupted_job_continues_without_ranking_again(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    stopping = stop_after(3)
    with pytest.raises(StoppedError):
        write_recommendations(run, out, REQUEST, report=lambda _: next(stopping, None))
    assert not out.exists()
    reports: list[Progress] = []
    write_recommendations(run, out, REQUEST, report=reports.append)
    assert reports[0].resumed == 4 * 8
    assert_same(out, expected(run))


KILLED = """
import os, signal, sys
from pathlib import Path
from prismrec.runs import Run, bulk
bulk._LARGEST_BLOCK = 8
def report(progress):
    if progress.done >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
bulk.write_recommendations(Run.load(sys.argv[1]), Path(sys.argv[2]), bulk.BulkRequest(k=4), report=report)
"""


@pytest.mark.parametrize("users", [8, 50])
def test_a_killed_job_continues_without_lost_or_repeated_rows(run: Run, tmp_path: Path, users: int) -> None:
    out = tmp_path / "all.parquet"
    command = [sys.executable, "-c", KILLED, str(run.folder), str(out), str(users)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not out.exists()
    write_recommendations(run, out, REQUEST)
    assert_same(out, expected(run))
    assert names(tmp_path) == ["all.parquet"]


def test_shards_share_the_work_and_the_last_one_writes_the_file(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    totals = []
    for number in (2, 3):
        reports: list[Progress] = []
        assert write_recommendations(run, out, REQUEST, shard=(number, 3), report=reports.append) is None
        totals.append(reports[-1].total)
        assert not out.exists()
    assert write_recommendations(run, out, REQUEST, shard=(1, 3)) is not None
    assert totals == [16, 16]
    assert_same(out, expected(run))


def test_a_share_without_users_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    for share in range(1, 10):  # of 7 blocks
        write_recommendations(run, out, REQUEST, shard=(share, 9))
    assert_same(out, expected(run))
    assert names(tmp_path) == ["all.parquet"]


def test_another_job_does_not_continue_the_parts(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    write_recommendations(run, out, REQUEST, shard=(1, 2))
    with pytest.raises(InputError, match=r"all.parquet.parts: found parts of another job"):
        write_recommendations(run, out, replace(REQUEST, k=5))
    with pytest.raises(InputError, match="another job"):
        write_recommendations(replace(run, folder=None), out, REQUEST)
    write_recommendations(run, out, REQUEST, shard=(2, 2))
    assert_same(out, expected(run))


@pytest.mark.parametrize(
    ("request_", "options", "message"),
    [
        (BulkRequest(k=0), {}, "k: found 0"),
        (BulkRequest(filters=Filters.of(where="cost < 3")), {}, "where: found column 'cost'"),
        (BulkRequest(filters=Filters.of(exclude=["x"])), {}, "exclude: found 'x'"),
        (BulkRequest(columns=("cost",)), {}, "columns: found 'cost'"),
        (REQUEST, {"shard": (3, 2)}, "shard: found 3/2"),
        (REQUEST, {"shard": (0, 2)}, "shard: found 0/2"),
    ],
)
def test_what_cannot_be_answered_is_refused_before_anything_is_written(
    run: Run, tmp_path: Path, request_: BulkRequest, options: dict, message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        write_recommendations(run, tmp_path / "all.parquet", request_, **options)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_written_leaves_nothing(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can be written"):
        write_recommendations(run, tmp_path / "missing" / "all.parquet", REQUEST)
    with pytest.raises(InputError):
        write_recommendations(run, tmp_path / ("x" * 300 + ".parquet"), REQUEST)
    assert names(tmp_path) == []


def test_ray_gives_the_same_file(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs prismrec[ray]")
    write_recommendations(run, tmp_path / "all.parquet", REQUEST, engine="ray")
    assert_same(tmp_path / "all.parquet", expected(run))


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_the_command_writes_other_formats_in_parts(run: Run, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"all{suffix}"
    words = ["recommend", str(run.folder), "--all", "-k", "4", "--columns", "price", "--out", str(out)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.stdout == f"wrote {out}: 50 users, 200 rows\n"
    found = pl.read_csv(out) if suffix == ".csv" else pl.read_json(out)
    table = run.recommend(k=4)
    assert found.drop("score").equals(table.drop("score"))


def test_shards_that_end_at_the_same_time_write_one_file(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    command = [sys.executable, "-c", SHARD, str(run.folder), str(out)]
    both = [subprocess.Popen([*command, number]) for number in ("1", "2")]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    assert_same(out, expected(run))
    assert names(tmp_path) == ["all.parquet"]


SHARD = """
import sys
from pathlib import Path
from prismrec.runs import Run, bulk
bulk._LARGEST_BLOCK = 8
run = Run.load(sys.argv[1])
bulk.write_recommendations(run, Path(sys.argv[2]), bulk.BulkRequest(k=4), shard=(int(sys.argv[3]), 2))
"""


def test_one_share_is_done_by_one_process_at_a_time(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    with pytest.raises(StoppedError):
        write_recommendations(run, out, REQUEST, report=lambda _: next(stop_after(0)))
    lock = FileLock(tmp_path / "all.parquet.parts" / "share-1-of-1.lock")
    with lock, pytest.raises(InputError, match="another process at work on share 1/1"):
        write_recommendations(run, out, REQUEST)
    write_recommendations(run, out, REQUEST)
    assert_same(out, expected(run))


@pytest.mark.parametrize("share", [(1, 1), (2, 2)])
def test_a_refused_or_failed_share_leaves_the_folder_to_the_share_that_has_begun(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: tuple[int, int]
) -> None:
    out = tmp_path / "all.parquet"
    rank = bulk.block_table

    def fail(*_: object) -> pl.DataFrame:
        raise InputError("disk", "no room", "some")

    def begin_another_share(*arguments: object) -> pl.DataFrame:
        monkeypatch.setattr(bulk, "block_table", fail)
        with pytest.raises(InputError, match=r"another process at work|no room"):
            write_recommendations(run, out, REQUEST, shard=share)
        monkeypatch.setattr(bulk, "block_table", rank)
        return rank(*arguments)

    monkeypatch.setattr(bulk, "block_table", begin_another_share)
    write_recommendations(run, out, REQUEST, shard=(1, share[1]))
    write_recommendations(run, out, REQUEST, shard=share)
    assert_same(out, expected(run))


def test_parts_belong_to_the_run_that_is_read_also_before_it_has_its_final_place(run: Run, tmp_path: Path) -> None:
    other = run.save(tmp_path / "other")
    live = replace(run, embeddings=Embeddings(-run.embeddings.users, run.embeddings.items)).save(tmp_path / "live")
    shutil.copytree(other.folder, live.folder / ".next")  # as a process leaves it that is killed at the last moment
    out = tmp_path / "all.parquet"
    with pytest.raises(StoppedError):
        write_recommendations(other, out, REQUEST, report=lambda _: next(stop_after(0)))
    write_recommendations(Run.load(live.folder), out, REQUEST)
    assert_same(out, expected(run))


def test_a_folder_in_place_of_the_file_is_refused_before_the_work(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lists.parquet").mkdir()
    with pytest.raises(InputError, match="a folder, a device or a pipe"):
        write_recommendations(run, tmp_path / "lists.parquet", BulkRequest(), report=pytest.fail)
    assert [path.name for path in tmp_path.iterdir()] == ["lists.parquet"]
