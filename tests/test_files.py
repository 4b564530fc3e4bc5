"""Files and folders are complete or absent, and errors are single lines."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from prismrec.errors import InputError
from prismrec.files import new_folder, read_text, replacing, require_outside, scan_stored, write_text, write_texts

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
needs_permissions = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)


@pytest.fixture
def umask_022() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["~", "[1]", "*", "a?b", "s3:", "k=v"])
def test_names_that_mean_something_to_polars_mean_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = pl.DataFrame({"a": [1, 2]})
    folder = Path(name)
    folder.mkdir()
    with replacing(folder / "t.parquet") as temporary:
        table.write_parquet(temporary)
    with replacing(folder / "copy.parquet") as temporary:
        scan_stored([folder / "t.parquet"]).sink_parquet(temporary)
    assert scan_stored([folder / "t.parquet", folder / "copy.parquet"]).collect().equals(pl.concat([table, table]))
    assert names(folder) == ["copy.parquet", "t.parquet"]


@pytest.mark.parametrize("inside", ["x.csv", "deep/x.csv", ".", "../run/x.csv", "link/x.csv"])
def test_files_of_others_are_not_written_into_a_run(inside: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "link").symlink_to(run)
    with pytest.raises(InputError, match=r"a file inside .*expected a file outside the run directory"):
        require_outside(run, run / inside)
    (tmp_path / "loop").symlink_to("loop")
    require_outside(run, tmp_path / "loop" / "x.csv")
    require_outside(run, tmp_path / "run.csv")


def test_replacing_writes_a_new_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_replacing_shows_the_old_file_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_reader_of_the_replaced_file_keeps_the_old_content(tmp_path: Path) -> None:
    """The file is replaced by a rename and not written in place."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt()])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), replacing(path) as temporary:
        temporary.write_text("half of the new")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_temporary_file_is_in_a_private_folder_beside_the_target(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as temporary:
        assert temporary.parent.parent == tmp_path
        assert temporary.parent.name.startswith(".prismrec-")
        assert mode(temporary.parent) == 0o700


def test_a_link_to_a_file_beside_the_target_is_not_followed(tmp_path: Path) -> None:
    """Temporary files once had this name, which other programs could guess."""
    victim = tmp_path / "victim"
    victim.write_text("keep me")
    link = tmp_path / f".a.txt.{os.getpid()}.tmp"
    link.symlink_to(victim)
    write_text(tmp_path / "a.txt", "new")
    assert victim.read_text() == "keep me"
    assert link.is_symlink()
    assert names(tmp_path) == [link.name, "a.txt", "victim"]


def test_a_link_to_a_folder_beside_the_target_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    link = tmp_path / f".out.{os.getpid()}.tmp"
    link.symlink_to(victim)
    _make_folder(tmp_path / "out")
    assert names(victim) == []
    assert link.is_symlink()
    assert names(tmp_path) == [link.name, "out", "victim"]


def test_a_link_at_the_target_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep me")
    (tmp_path / "a.txt").symlink_to(victim)
    write_text(tmp_path / "a.txt", "new")
    assert victim.read_text() == "keep me"
    assert not (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.usefixtures("umask_022")
def test_a_file_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "new")
    assert mode(tmp_path / "a.txt") == 0o644


@pytest.mark.usefixtures("umask_022")
def test_a_file_that_the_block_creates_anew_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    """Libraries may replace the temporary file by one with narrower permissions."""
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.unlink()
        temporary.touch(mode=0o600)
    assert mode(tmp_path / "a.txt") == 0o644


@pytest.mark.usefixtures("umask_022")
def test_a_folder_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("new")
    assert mode(tmp_path / "out") == 0o755
    assert mode(tmp_path / "out" / "a.txt") == 0o644


def test_a_file_in_a_missing_folder_is_one_input_error(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a.txt"
    with pytest.raises(InputError) as refusal:
        write_text(path, "new")
    assert str(refusal.value) == f"{path}: found No such file or directory; expected a file that can be written"
    assert names(tmp_path) == []


def test_a_folder_at_the_path_of_a_file_is_one_input_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.mkdir()
    with pytest.raises(InputError, match="expected a file that can be written") as refusal:
        write_text(path, "new")
    assert refusal.value.where == str(path)
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_or_a_link_to_a_device_is_refused_and_stays(tmp_path: Path) -> None:
    """As root, renaming a file over /dev/null would replace it for all programs."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(os.devnull)
    for path in (pipe, link):
        before = path.lstat()
        with pytest.raises(InputError, match="found a folder, a device or a pipe"):
            write_text(path, "text")
        assert path.lstat() == before
    with pytest.raises(InputError, match="found a folder, a device or a pipe"):
        write_text(Path("/dev/prismrec-test"), "text")


@needs_permissions
def test_a_folder_without_permission_is_one_input_error(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    try:
        with pytest.raises(InputError, match="found Permission denied; expected a file that can be written"):
            write_text(closed / "a.txt", "new")
        with pytest.raises(InputError, match="found Permission denied; expected a folder that can be written"):
            _make_folder(closed / "out")
        assert names(closed) == []
    finally:
        closed.chmod(0o700)


def test_refused_permission_is_one_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere, so this test replaces the system call."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("prismrec.temporary.tempfile.mkdtemp", refuse)
    with pytest.raises(InputError, match="found Permission denied; expected a file that can be written"):
        write_text(tmp_path / "a.txt", "new")
    with pytest.raises(InputError, match="found Permission denied; expected a folder that can be written"):
        _make_folder(tmp_path / "out")
    assert names(tmp_path) == []


def test_a_full_disk_is_one_input_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(InputError) as refusal, replacing(path) as temporary:
        temporary.write_text("half of the new")
        raise NO_SPACE
    assert str(refusal.value) == f"{path}: found No space left on device; expected a file that can be written"
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_when_the_text_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(InputError, match="No space left on device"), replacing(path) as temporary:
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        temporary.write_text("new")
    assert names(tmp_path) == []


def test_a_disk_that_is_full_when_the_file_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise NO_SPACE

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == []


def test_new_folder_creates_missing_parents(tmp_path: Path) -> None:
    _make_folder(tmp_path / "runs" / "out")
    assert names(tmp_path / "runs") == ["out"]
    assert names(tmp_path / "runs" / "out") == ["a.txt"]


def test_new_folder_is_absent_until_the_block_ends(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out") as folder:
        assert folder.parent.name.startswith(".prismrec-")
        assert folder.parent.parent == tmp_path
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["out"]


def test_new_folder_accepts_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    _make_folder(tmp_path / "out")
    assert names(tmp_path / "out") == ["a.txt"]


def test_new_folder_refuses_a_folder_that_is_not_empty_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("keep me")
    (tmp_path / "file").write_text("keep me")
    for name in ("full", "file"):
        with pytest.raises(InputError, match="found something already there; expected a new or empty folder"):
            _make_folder(tmp_path / name)
    assert (tmp_path / "full" / "letter.txt").read_text() == "keep me"
    assert (tmp_path / "file").read_text() == "keep me"
    assert names(tmp_path) == ["file", "full"]


def test_new_folder_refuses_a_folder_that_is_filled_while_the_block_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder that can be written"), new_folder(tmp_path / "out"):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "letter.txt").write_text("keep me")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["letter.txt"]


def test_a_link_to_a_missing_folder_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("missing")
    with pytest.raises(InputError, match="found a link to a missing folder"), new_folder(tmp_path / "link"):
        pass
    assert sorted(tmp_path.iterdir()) == [tmp_path / "link"]


def test_new_folder_below_a_file_is_one_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep me")
    with pytest.raises(InputError, match="expected a folder that can be written") as refusal:
        _make_folder(tmp_path / "file" / "out")
    assert refusal.value.where == str(tmp_path / "file" / "out")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt(), NO_SPACE])
def test_an_exception_leaves_no_folder(tmp_path: Path, error: BaseException) -> None:
    expected = InputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), new_folder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("half")
        raise error
    assert names(tmp_path) == []


def test_an_input_error_in_the_block_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="somewhere: found this; expected that"), new_folder(tmp_path / "out"):
        raise InputError("somewhere", "this", "that")
    with pytest.raises(InputError, match="somewhere: found this; expected that"), replacing(tmp_path / "a.txt"):
        raise InputError("somewhere", "this", "that")
    assert names(tmp_path) == []


def _make_folder(path: Path) -> None:
    with new_folder(path) as folder:
        (folder / "a.txt").write_text("new")


def test_an_empty_folder_stays_and_may_be_a_mount_point(tmp_path: Path) -> None:
    (tmp_path / "out" / "lost+found").mkdir(parents=True)
    before = (tmp_path / "out").stat().st_ino
    with new_folder(tmp_path / "out") as folder:
        assert folder.is_relative_to(tmp_path / "out")  # the folder above may be on another disk, or closed
        (folder / "b").mkdir()
        (folder / "b" / "a.txt").write_text("new")
    assert (tmp_path / "out").stat().st_ino == before
    assert names(tmp_path / "out") == ["b", "lost+found"]
    assert (tmp_path / "out" / "b" / "a.txt").read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount")
def test_a_mount_point_is_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path / "out"], check=False).returncode:
        pytest.skip("this container may not mount")
    try:
        _make_folder(tmp_path / "out")
        assert names(tmp_path / "out") == ["a.txt"]
    finally:
        subprocess.run(["umount", tmp_path / "out"], check=True)


def test_an_exception_leaves_an_empty_folder_empty(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError), new_folder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("half")
        raise NO_SPACE
    assert names(tmp_path / "out") == []


def test_a_second_writer_of_an_empty_folder_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with new_folder(tmp_path / "out") as folder:
        (folder / "first.txt").write_text("new")
        with pytest.raises(InputError, match="found another process that writes to it"):
            _make_folder(tmp_path / "out")
    assert names(tmp_path / "out") == ["first.txt"]


@pytest.mark.parametrize("is_there", [True, False])
def test_the_files_of_a_new_folder_are_on_the_disk(
    is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = set()
    flush = os.fsync

    def record(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    if is_there:
        (tmp_path / "out").mkdir()
    with new_folder(tmp_path / "out") as folder:
        (folder / "b").mkdir()
        (folder / "b" / "a.txt").write_text("new")
    for path in ("out", "out/b", "out/b/a.txt"):
        assert (tmp_path / path).stat().st_ino in flushed


def test_texts_are_replaced_together_or_not_at_all(tmp_path: Path) -> None:
    write_texts(tmp_path, {"a.txt": "old", "b.txt": "old"})
    with pytest.raises(InputError):
        write_texts(tmp_path, {"a.txt": "new", "missing/b.txt": "new"})
    assert names(tmp_path) == ["a.txt", "b.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


KILLED = """
import os, signal, sys
from pathlib import Path
from prismrec.files import replacing
with replacing(Path(sys.argv[1])) as path:
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_two_writers_of_the_same_texts_wait_for_each_other(tmp_path: Path) -> None:
    def write(value: int) -> None:
        write_texts(tmp_path, {"a.txt": str(value), "b.txt": str(value)})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(40)))
    assert read_text(tmp_path / "a.txt") == read_text(tmp_path / "b.txt")
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "b.txt"}


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.txt"], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    hour_ago = time.time() - 3600
    os.utime(left, (hour_ago, hour_ago))
    with replacing(tmp_path / "b.txt") as slow:
        slow.write_text("slow")
        os.utime(slow.parent, (hour_ago, hour_ago))
        write_text(tmp_path / "a.txt", "new")
        assert names(tmp_path) == sorted([slow.parent.name, "a.txt"])
    assert names(tmp_path) == ["a.txt", "b.txt"]


def test_a_link_in_place_of_a_left_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("keep me")
    hour_ago = time.time() - 3600
    os.utime(tmp_path / "other", (hour_ago, hour_ago))
    (tmp_path / ".prismrec-abc").symlink_to("other")
    os.utime(tmp_path / ".prismrec-abc", (hour_ago, hour_ago), follow_symlinks=False)
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "other" / "letter.txt").read_text() == "keep me"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(OSError, match="not a regular file"):
            read_text(path)
    write_text(tmp_path / "text", "é")
    assert read_text(tmp_path / "text") == "é"
