"""`prismrec demo`: the whole workflow on a small synthetic shop, from files to recommendations."""

import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.errors import InputError

if TYPE_CHECKING:
    from prismrec.content import Encoder
    from prismrec.demo import ShopConfig
    from prismrec.provenance import ContentKind
    from prismrec.runs import Run

_MODELS = ("Prism", "most-popular", "MF-BPR", "LightGCN", "VBPR", "LGMRec")
_PATIENCE = 20
"""A short demo: `auto` takes more than twice as many epochs, for a recall up to 3 % higher."""
_ENCODERS: "dict[ContentKind, str | Encoder]" = {"text": "tfidf", "image": "histograms"}
"""The built-in encoders, which need no further packages."""
_MARKER = "DEMO.txt"
_SHOWN = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def demo(
    out: Annotated[Path, typer.Option(help="A new folder for the shop and the runs.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of the shop and of the training.", min=0)] = 0,
    users: Annotated[int, typer.Option(help="Customers of the shop.", min=1)] = 2000,
    items: Annotated[int, typer.Option(help="Items in the shop.", min=1)] = 900,
    interactions: Annotated[int, typer.Option(help="Purchases to draw.", min=1)] = 25_000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in --out.")] = False,
) -> None:
    """Write a small synthetic shop as files, encode its pictures and texts, train six models, and recommend."""
    from rich.console import Console
    from rich.table import Table

    from prismrec.cli.lists import show
    from prismrec.cli.progress import EpochLines
    from prismrec.cli.tables import print_table
    from prismrec.data import load
    from prismrec.demo import write_shop
    from prismrec.experiments.train import train
    from prismrec.records import Settings

    console = Console()
    _prepare(out, overwrite=overwrite)
    source = out / "shop"
    write_shop(source, _shop(users, items, interactions, seed), features=False)
    console.print(f"Wrote a synthetic shop to {source}: interactions, texts, pictures.", markup=False, highlight=False)
    _encode(source)
    dataset = load(source)
    table = Table("model", *_SHOWN, "seconds", title="test split", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    runs: dict[str, Run] = {}
    for name in _MODELS:
        start = time.perf_counter()
        settings = Settings(seed=seed, patience=_PATIENCE)
        with EpochLines(settings, f"{name}  ", show="last") as lines:
            runs[name] = train(name, dataset, settings=settings, out=out / "runs" / name, callbacks=[lines])
        seconds = time.perf_counter() - start
        metrics = runs[name].evaluate("test", cutoffs=(10, 20))
        table.add_row(name, *[f"{metrics[key]:.4f}" for key in _SHOWN], f"{seconds:.1f}")
    print_table(table)
    user = dataset.users.id(0)
    show(runs["LGMRec"].recommend([user], 10).select("user", "rank", "item", "score", "title"))
    folder = str(out / "runs/LGMRec")
    recommend = shlex.join([*_program(), "recommend", folder, "--user", str(user)])
    serve = shlex.join([*_program(), "serve", folder])
    console.print(f"The runs are in {out / 'runs'}. Try: {recommend}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"Look at it in a browser: {serve}", markup=False, highlight=False, soft_wrap=True)


def _encode(source: Path) -> None:
    """Make features of the pictures and texts, with the built-in encoders."""
    from prismrec.cli.features import show_encoded
    from prismrec.cli.progress import EncodingLines
    from prismrec.content import encode

    with EncodingLines() as lines:
        # The rows of the built-in encoders have length 1 as they are.
        encoded = encode(source, encoders=_ENCODERS, normalise="none", progress=lines.report)
    for each in encoded.values():
        show_encoded(each, quiet=True)


def _prepare(out: Path, *, overwrite: bool) -> None:
    """Create the folder with a file that marks it as a demo; with `overwrite`, remove an earlier demo.

    Raises:
        InputError: something else is there.
    """
    from prismrec.files import names_in, write_text

    marker = out / _MARKER
    if overwrite and marker.exists():
        shutil.rmtree(out)
    try:
        if out.exists() and (not out.is_dir() or names_in(out)):
            expected = "a new folder, or --overwrite to replace an earlier demo"
            raise InputError("--out", f"something already there: {out}", expected)
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("--out", f"{out}: {error.strerror}", "a folder that can be written") from error
    write_text(marker, "`prismrec demo` wrote this folder and may replace it.\n")


def _program() -> list[str]:
    """The words that call this program again: its name if that is found on the PATH, else the words of this call."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return [sys.executable, "-m", "prismrec"]
    found = shutil.which("prismrec")
    is_elsewhere = called.exists() and (found is None or not called.samefile(found))
    return [sys.argv[0]] if is_elsewhere else ["prismrec"]


def _shop(users: int, items: int, interactions: int, seed: int) -> "ShopConfig":
    from prismrec.demo import ShopConfig

    return ShopConfig(users=users, items=items, interactions=interactions, seed=seed)
