"""The next run of a run directory, which replaces a finished run without a moment in which there is none.

It is written to the subfolder `.next`. Its `metrics.json` is written last, and from then on readers use `.next`.
`publish` then puts its files into the run directory, and removes `.next`. If the process is killed, the next process
that writes the run directory publishes.
"""

import filecmp
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prismrec.errors import InputError, parse_json
from prismrec.files import discard_folder, make_folder, names_in, place, read_text, write_text
from prismrec.runs.manifest import Manifest
from prismrec.temporary import remove_temporary_files

NEXT = ".next"
CHECKPOINT = "checkpoint"
METRICS_FILE = "metrics.json"
INDEX = "index"
"""The folder of the index, which belongs to the embeddings of one run."""


def new_run_folder(folder: Path, *, overwrite: bool, can_resume: bool = False) -> Path:
    """Where to write a new run: the run directory if it is empty, else its subfolder `.next`.

    Args:
        folder: the run directory, which this process has locked.
        overwrite: whether the new run may replace a run in `folder`.
        can_resume: whether the caller could also continue a run, which the error then says.

    Raises:
        InputError: the folder holds something else, or a run and `overwrite` is false.
    """
    tidy(folder)
    names = sorted(name for name in names_in(folder) if not name.startswith("."))
    if not names:
        discard_folder(folder / NEXT)  # of a process that was killed
        return folder
    if "config.json" not in names:
        raise InputError(folder, f"something already there that is not a run: {names[0]!r}", "a new or empty folder")
    if not overwrite:
        expected = "a new folder, or overwrite (--overwrite) to replace this run"
        if can_resume:
            expected += ", or resume (--resume) to continue it"
        raise InputError(folder, "something already there: a run", expected)
    return folder / NEXT


@contextmanager
def complete_run(folder: Path, manifest: Manifest, *, overwrite: bool) -> Iterator[Path]:
    """Where to write all files of a run at once. After an exception, the run directory is as it was.

    Args:
        folder: the run directory, which this process has locked.
        manifest: of the run.
        overwrite: whether the run may replace a run in `folder`.

    Raises:
        InputError: the folder holds something else, or a run and `overwrite` is false, or a file cannot be written.
    """
    new_run_folder(folder, overwrite=overwrite)
    target = folder / NEXT
    try:
        begin(target, manifest)
        yield target
    except BaseException:
        if not is_finished(target):  # else the next process publishes it
            shutil.rmtree(target, ignore_errors=True)
        raise


def begin(target: Path, manifest: Manifest) -> None:
    """Write the manifest of a new run; an unfinished run in `.next` is discarded.

    Args:
        target: from `new_run_folder`.
        manifest: of the run.

    Raises:
        InputError: a file cannot be written.
    """
    if target.name == NEXT:
        discard_folder(target)
        make_folder(target)
    write_text(target / "config.json", manifest.model_dump_json(indent=2))


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a finished run."""
    return os.path.exists(folder / METRICS_FILE)  # noqa: PTH110  (Path.exists raises if the name is too long)


def current(folder: Path) -> Path:
    """The folder to read: `.next` if it holds a finished run, else the run directory itself."""
    return folder / NEXT if is_finished(folder / NEXT) else folder


def publish(folder: Path) -> None:
    """Replace the run by the finished one in `.next`, if there is one. May be repeated after a kill at any moment.

    Raises:
        InputError: a file cannot be written.
    """
    staged = folder / NEXT
    if not is_finished(staged):
        return
    files = [path.relative_to(staged) for path in sorted(staged.rglob("*")) if path.is_file()]
    written = [path for path in files if path.name != METRICS_FILE and not _is_temporary(path)]
    for path in written:
        make_folder((folder / path).parent)
        place(staged / path, folder / path)
    for name in _files_of_the_old_run(folder) - {path.as_posix() for path in written}:
        (folder / name).unlink(missing_ok=True)
    discard_folder(folder / INDEX)
    place(staged / METRICS_FILE, folder / METRICS_FILE)
    discard_folder(staged)


def tidy(folder: Path) -> None:
    """Finish what a killed process left undone: publish, and remove temporary files.

    Raises:
        InputError: a file cannot be written.
    """
    publish(folder)
    for part in (folder, folder / NEXT):
        remove_temporary_files(part)
        remove_temporary_files(part / CHECKPOINT)
    if is_finished(folder):
        keep_final_state(folder)


def keep_final_state(folder: Path) -> None:
    """Remove the best weights from the checkpoint of a finished run, if they are in `model.safetensors`.

    A model that chooses hyperparameters at the end stores other weights there.
    """
    model = folder / "model.safetensors"
    for path in (folder / CHECKPOINT).glob("best-*.safetensors"):
        if model.is_file() and filecmp.cmp(path, model, shallow=False):
            path.unlink(missing_ok=True)


def _is_temporary(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _files_of_the_old_run(folder: Path) -> set[str]:
    """The files that the metrics of the run list, and its checkpoint."""
    states = {path.relative_to(folder).as_posix() for path in (folder / CHECKPOINT).glob("*.safetensors")}
    try:
        listed = parse_json(read_text(folder / METRICS_FILE))["files"]
    except (OSError, ValueError, KeyError, TypeError):  # an unfinished or a damaged run
        return states
    return states | {name for name in map(str, listed) if Path(name).name == name}
