"""Recommendations for all users, written in parts: constant memory, resumable, by several processes.

The users are divided into blocks. Each block becomes one file in a folder beside the output. A killed job loses only
the blocks in progress. The last process assembles the output.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
import polars as pl
from filelock import FileLock, Timeout

from prismrec.cluster import LostWorkerError, RayWorkers
from prismrec.errors import InputError, ParameterError, check_choice, check_list, check_type
from prismrec.files import read_text, replacing, require_outside, require_replaceable, scan_stored, write_text
from prismrec.retrieval import Audience, Filters, Unknown
from prismrec.runs.index import read_record
from prismrec.runs.run import Run
from prismrec.runs.staging import METRICS_FILE, current
from prismrec.runs.tables import lists_table, notes_on_lengths
from prismrec.types import Vocabulary

Engine = Literal["local", "ray"]
Assemble = Callable[[Sequence[Path], Path], None]
"""Makes the output from the parts, given in the order of the users."""

_ROWS_PER_PART = 2**20
_LARGEST_BLOCK = 20 * 1024  # users, if the lists are short


@dataclass(frozen=True)
class BulkRequest:
    """What to recommend to all users.

    Attributes:
        k: items per user.
        filters: which items the lists may hold.
        seen: whether these may be items that the user has interacted with.
        unknown: as in `Run.recommend`.
        columns: columns of the item table to add.
    """

    k: int = 10
    filters: Filters = field(default_factory=Filters)
    seen: bool = False
    unknown: Unknown | None = None
    columns: tuple[str, ...] = ()


class Written(NamedTuple):
    """The content of a complete file.

    Attributes:
        users: the number of users with an item.
        rows: the number of rows.
        notes: who got popular items, fewer items than asked for, or none.
    """

    users: int
    rows: int
    notes: tuple[str, ...]


class Progress(NamedTuple):
    """How far a job is; counts are users of this shard."""

    done: int
    total: int
    resumed: int  # of those done, found from an earlier attempt
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """The estimated time to the end; None before the first block."""
        computed = self.done - self.resumed
        return self.seconds / computed * (self.total - self.done) if computed else None


def block_size(run: Run, k: int) -> int:
    """The number of users of a block."""
    return max(min(_LARGEST_BLOCK, _ROWS_PER_PART // max(min(k, len(run.items)), 1)), 1)


def block_table(run: Run, request: BulkRequest, block: int) -> pl.DataFrame:
    """The lists of one block of users, as from `Run.recommend`."""
    size = block_size(run, request.k)
    numbers = np.arange(block * size, min((block + 1) * size, len(run.users)))
    audience = Audience.of_users(numbers, len(run.items))
    lists = run.retriever.recommend(audience, request.k, request.filters, seen=request.seen, unknown=request.unknown)
    return lists_table(lists, run.users.ids_of(numbers), run.retriever, request.columns)


def write_recommendations(
    run: Run,
    out: Path | str,
    request: BulkRequest,
    *,
    shard: tuple[int, int] = (1, 1),
    engine: Engine = "local",
    assemble: Assemble | None = None,
    report: Callable[[Progress], None] | None = None,
) -> Written | None:
    """Write the lists of all users to a file; repeat the call to continue a job that was interrupted.

    Args:
        run: the run that recommends.
        out: the file to write. The parts are in a folder with the suffix `.parts` until the file is complete.
        request: what to recommend.
        shard: (i, n) does only the i-th of n shares of the work, for several processes with the same `out`.
        engine: "ray" spreads the blocks over a Ray cluster, or over the cores of this machine if there is none.
        assemble: makes the output from the parts; by default a Parquet file.
        report: called after each block.

    Returns:
        What the file holds; None if other shards are missing or another process assembles the file.

    Raises:
        InputError: the request or the shard cannot be used, another process does the same share, the folder of parts
            belongs to another job, or a file cannot be written.
    """
    _check_types(out, shard, engine)
    run = replace(run, users=Vocabulary(run.users.ids, "user"), items=Vocabulary(run.items.ids, "item"))  # as in files
    _check(run, request)
    size = block_size(run, request.k)
    blocks = range(-(-len(run.users) // size))
    mine = blocks[shard[0] - 1 :: shard[1]]
    if not mine:  # more shares than blocks
        return None
    parts = _open_parts(run, Path(out), request)
    todo = [block for block in mine if not _part(parts, block).exists()]
    users_in = {block: min(size, len(run.users) - block * size) for block in mine}
    total = sum(users_in.values())
    done = resumed = total - sum([users_in[block] for block in todo])
    start = time.perf_counter()
    with _claimed(parts, shard), _removed_if_useless(parts):
        for block, table in _tables(run, request, todo, engine):
            with replacing(_part(parts, block)) as path:
                table.write_parquet(path)
            done += users_in[block]
            if report:
                report(Progress(done, total, resumed, time.perf_counter() - start))
    return _finish(run, request, parts, [_part(parts, block) for block in blocks], assemble or _write_parquet)


@contextmanager
def _claimed(parts: Path, shard: tuple[int, int]) -> Iterator[None]:
    """Let no other process do the same share at the same time.

    Raises:
        InputError: another process does it.
    """
    number, count = shard
    lock = FileLock(parts / f"share-{number}-of-{count}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(parts, f"another process at work on share {number}/{count}", "one for each share") from None
    except OSError as error:
        raise InputError(parts, error.strerror or str(error), "a folder that can be written") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _removed_if_useless(parts: Path) -> Iterator[None]:
    """Remove the folder of parts after an error, unless a later attempt or another share needs it."""
    try:
        yield
    except InputError:
        if not any(parts.glob("*.parquet")) and len([*parts.glob("share-*")]) <= 1:
            shutil.rmtree(parts, ignore_errors=True)
        raise


def _check_types(out: object, shard: tuple[int, int], engine: Engine) -> None:
    """Refuse arguments of the wrong type, and a share that there is not."""
    check_type("out", out, (str, PathLike), "a path")
    check_choice("engine", engine, get_args(Engine))
    parts = check_list("shard", shard, "two whole numbers, i and n")
    if len(parts) != 2 or not all(isinstance(part, Integral) for part in parts) or not 1 <= parts[0] <= parts[1]:
        raise ParameterError("shard", "/".join(map(str, parts)), "i/n with i within 1..n")


def _check(run: Run, request: BulkRequest) -> None:
    """Refuse what cannot be used before anything is written, by ranking for a user without interactions or for none.

    Raises:
        InputError: the request cannot be used, or it refuses such a user.
    """
    untrained = np.flatnonzero(run.train.user_degrees == 0)[:1]
    audience = Audience.of_users(untrained, len(run.items))
    lists = run.retriever.recommend(audience, request.k, request.filters, seen=request.seen, unknown=request.unknown)
    lists_table(lists, None, run.retriever, request.columns)


def _part(parts: Path, block: int) -> Path:
    return parts / f"{block:06d}.parquet"


def _tables(run: Run, request: BulkRequest, blocks: list[int], engine: Engine) -> Iterator[tuple[int, pl.DataFrame]]:
    """The table of each block, in any order."""
    if engine == "local":
        return ((block, block_table(run, request, block)) for block in blocks)
    return _tables_on_ray(run, request, blocks)


def _tables_on_ray(run: Run, request: BulkRequest, blocks: list[int]) -> Iterator[tuple[int, pl.DataFrame]]:
    """The same from the workers of a Ray cluster, in the order in which they are ready."""
    waiting = list(reversed(blocks))
    with RayWorkers(partial(block_table, run, request), max(len(blocks), 1)) as workers:
        while waiting or workers.busy:
            while waiting and workers.free:
                workers.start(waiting.pop())
            block, table = cast(tuple[int, pl.DataFrame | LostWorkerError], workers.wait())
            if isinstance(table, LostWorkerError):
                raise table
            yield block, table


def _open_parts(run: Run, out: Path, request: BulkRequest) -> Path:
    """The folder of parts, new or from an earlier attempt at the same job.

    Raises:
        InputError: it belongs to another job, cannot be created, or is inside the run.
    """
    require_replaceable(out)
    if run.folder is not None:
        require_outside(run.folder, out)
    parts = Path(f"{out}.parts")
    job = json.dumps({"run": _identity(run), "request": asdict(request)}, default=str, indent=2)
    path = parts / "job.json"
    try:
        parts.mkdir(exist_ok=True)
        earlier = read_text(path) if path.exists() else None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(parts, reason, "a folder that can be written") from error
    if earlier is None:
        with _removed_if_useless(parts):
            write_text(path, job)
    elif earlier != job:
        raise InputError(parts, "parts of another job", "the same run and options, or remove this folder first")
    return parts


def _identity(run: Run) -> str:
    """What distinguishes the run from others."""
    if run.folder is not None:  # these metrics contain the checksums of all other files
        record = None if run.exact else read_record(run.folder)
        index = "" if record is None else record.score.file.sha256
        return hashlib.sha256((current(run.folder) / METRICS_FILE).read_bytes() + index.encode()).hexdigest()
    return hashlib.sha256(run.embeddings.users.numpy().data).hexdigest()


def _finish(run: Run, request: BulkRequest, parts: Path, paths: list[Path], assemble: Assemble) -> Written | None:
    """Assemble the output if all parts are there. One process at a time does this."""
    if not all(path.exists() for path in paths):
        return None
    lock = Path(f"{parts}.lock")
    try:
        with FileLock(lock):
            if not parts.exists():  # another process has just finished
                return None
            with replacing(parts.with_suffix("")) as path:  # without .parts
                assemble(paths, path)
            written = _summary(run, request, paths)
            shutil.rmtree(parts)
    finally:
        lock.unlink(missing_ok=True)
    return written


def _summary(run: Run, request: BulkRequest, paths: list[Path]) -> Written:
    counts = scan_stored(paths).group_by("user").len().collect()
    users = run.users.ids.to_frame("user").join(counts, on="user", how="left", maintain_order="left")
    lengths = users["len"].fill_null(0).cast(pl.Int64).to_numpy()
    popular = (run.train.user_degrees == 0) & (run.manifest.model != "most-popular")
    return Written(len(counts), int(lengths.sum()), notes_on_lengths(lengths, request.k, popular, users["user"]))


def _write_parquet(parts: Sequence[Path], path: Path) -> None:
    scan_stored(parts).sink_parquet(path)
