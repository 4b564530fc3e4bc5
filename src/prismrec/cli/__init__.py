"""The command line: one thin file per command, each parses, calls and prints."""

import sys

import typer

from prismrec.cli import bench, data, demo, evaluate, models, recommend, train
from prismrec.errors import InputError
from prismrec.training import ask_for_large_pages

app = typer.Typer(
    name="prismrec",
    help="Multimodal recommendation: from a folder of clicks, pictures and texts to a ranking.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("recommend")(recommend.recommend)
app.command("models")(models.models)
app.command("bench")(bench.bench)
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command line; exit code 2 and one line on standard error where the input is at fault."""
    ask_for_large_pages()
    try:
        app()
    except InputError as error:
        print(f"prismrec: {error}", file=sys.stderr)
        sys.exit(2)
