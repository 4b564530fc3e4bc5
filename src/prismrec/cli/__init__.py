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
from prismrec.cli.options import Version, describe_error, format_note
from prismrec.errors import InputError
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


# The help shows the commands in these panels.
_START = "First steps"
_DATA = "Data and features"
_TRAINING = "Training and evaluation"
_RUN = "Use of a run"

app.command("demo", rich_help_panel=_START)(demo.demo)
app.command("models", rich_help_panel=_START)(models.models)
app.command("features", rich_help_panel=_DATA)(features.features)
app.command("train", rich_help_panel=_TRAINING)(train.train)
app.command("tune", rich_help_panel=_TRAINING)(tune.tune)
app.command("evaluate", rich_help_panel=_TRAINING)(evaluate.evaluate)
app.command("compare", rich_help_panel=_TRAINING)(compare.compare)
app.command("reproduce", rich_help_panel=_TRAINING)(reproduce.reproduce)
app.command("bench", rich_help_panel=_TRAINING)(bench.bench)
app.command("recommend", rich_help_panel=_RUN)(recommend.recommend)
app.command("similar", rich_help_panel=_RUN)(similar.similar)
app.command("serve", rich_help_panel=_RUN)(serve.serve)
app.command("page", rich_help_panel=_RUN)(page.page)
app.command("index", rich_help_panel=_RUN)(index.index)
app.command("update", rich_help_panel=_RUN)(update.update)
app.command("refit", rich_help_panel=_RUN)(refit.refit)
app.command("check", rich_help_panel=_RUN)(check.check)
app.add_typer(data.app, name="data", rich_help_panel=_DATA)


def _format_warning(message: Warning | str, *_: object, **__: object) -> str:
    """A warning as one line, without the place in the code."""
    return f"{format_note(str(message))}\n"


def main() -> None:
    """Run the command line; bad input ends with one line on standard error and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as on Ctrl-C
    try:
        retain_freed_memory()
        request_large_pages()
        warnings.formatwarning = _format_warning
        sys.path.append("")  # models and encoders, module:Class, may be in the current folder
        app()
    except KeyboardInterrupt:  # before the command begins; later, typer ends it
        sys.exit(130)
    except InputError as error:
        print(f"prismrec: {describe_error(error)}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # any path of any option may have such a name
            raise
        name = str(error.filename)
        print(f"prismrec: {InputError(f'{name[:40]}…', f'{len(name)} characters', 'a shorter name')}", file=sys.stderr)
        sys.exit(2)
