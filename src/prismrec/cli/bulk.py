"""Writing the lists of all users to a file, in parts and with progress."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prismrec.cli.options import print_note
from prismrec.cli.output import csv_ready, json_ready
from prismrec.cli.progress import UserLines
from prismrec.errors import InputError
from prismrec.files import scan_stored
from prismrec.runs.bulk import BulkRequest, Engine, write_recommendations

if TYPE_CHECKING:
    from prismrec.runs import Run


def write_all(
    run: "Run", out: Path, request: BulkRequest, shard: str | None, engine: Engine, *, raw_csv: bool, quiet: bool
) -> None:
    """Write the lists of all users, with progress.

    Args:
        run: the run that recommends.
        out: the file to write.
        request: what to recommend.
        shard: "i/n"; None for all.
        engine: where to compute.
        raw_csv: whether CSV cells that a spreadsheet would run stay as they are.
        quiet: whether standard output stays empty.

    Raises:
        InputError: as from `write_recommendations`.
    """

    def assemble(parts: Sequence[Path], path: Path) -> None:
        if out.suffix == ".parquet":
            scan_stored(parts).sink_parquet(path)
        elif out.suffix == ".json":
            _write_json(parts, path)
        else:
            _write_csv(parts, path, escape_formulas=not raw_csv)

    with UserLines() as lines:
        written = write_recommendations(
            run, out, request, shard=_parse_shard(shard), engine=engine, assemble=assemble, report=lines.report
        )
    if written is None:
        message = f"share {shard} is done; the process that ends last writes {out}"
    else:
        message = f"wrote {out}: {written.users:,} users, {written.rows:,} rows"
        for note in written.notes:
            print_note(note)
    typer.echo(message, err=quiet)


def _parse_shard(text: str | None) -> tuple[int, int]:
    number, _, count = (text or "1/1").partition("/")
    if not (re.fullmatch("[0-9]{1,6}", number) and re.fullmatch("[0-9]{1,6}", count)):
        raise InputError("--shard", repr(text), "i/n, such as 1/4")
    return int(number), int(count)


def _write_csv(parts: Sequence[Path], path: Path, *, escape_formulas: bool) -> None:
    total = 0
    with path.open("wb") as file:
        for position, part in enumerate(parts):
            table, escaped = csv_ready(scan_stored([part]).collect(), escape_formulas=escape_formulas)
            table.write_csv(file, include_header=position == 0)
            total += escaped
    if total:
        print_note(f"put an apostrophe before {total:,} cells that start with = + - or @; --raw-csv prevents it")


def _write_json(parts: Sequence[Path], path: Path) -> None:
    """One array of rows, as `write_table` writes it."""
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        separator = ""
        for part in parts:
            for row in scan_stored([part]).collect().iter_rows(named=True):
                file.write(separator + json.dumps(json_ready(row)))
                separator = ", "
        file.write("]")
