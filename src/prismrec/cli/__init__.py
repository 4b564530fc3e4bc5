"""The command line: one thin file per command, which parses, calls and prints.

Commands import PyTorch and the rest of the package inside their functions, so that `prismrec --help` is fast.
"""

import errno
import signal
import sys
import warnings

import typer

from prismrec.cli import (
    bench,
    check,
    compare,
    data,
    demo,
    evaluate,
    features,
    index,
    models,
    page,
    recommend,
    refit,
    reproduce,
    serve,
    similar,
    train,
    tune,
    update,
)
from prismrec.cli.options import Version, describe_error
from prismrec.errors import InputError, printable
from prismrec.process import request_large_pages, retain_freed_memory

app = typer.Typer(
    name="prismrec",
    help="Multimodal recommendation: from clicks and item features to a ranking.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def global_options(version: Version = False) -> None:
    """Options before the name of a command; their callbacks do the work."""


app.command("demo")(demo.demo)
app.command("features")(features.features)
app.command("train")(train.train)
app.command("tune")(tune.tune)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("reproduce")(reproduce.reproduce)
app.command("check")(check.check)
app.command("recommend")(recommend.recommend)
app.command("similar")(similar.similar)
app.command("update")(update.update)
app.command("refit")(refit.refit)
app.command("index")(index.index)
app.command("serve")(serve.serve)
app.command("page")(page.page)
app.command("models")(models.models)
app.command("bench")(bench.bench)
app.add_typer(data.app, name="data")


def _format_warning(message: Warning | str, *_: object, **__: object) -> str:
    """A warning as one line, without the place in the code."""
    return f"prismrec: note: {printable(str(message))}\n"


def main() -> None:
    """Run the command line; bad input ends with one line on standard error and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as on Ctrl-C
    retain_freed_memory()
    request_large_pages()
    warnings.formatwarning = _format_warning
    try:
        app()
    except InputError as error:
        print(f"prismrec: {describe_error(error)}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # any path of any option may have such a name
            raise
        name = str(error.filename)
        print(f"prismrec: {InputError(f'{name[:40]}…', f'{len(name)} characters', 'a shorter name')}", file=sys.stderr)
        sys.exit(2)
