"""`prismrec page`: the page of `prismrec serve` as one file, for some users and items."""

from pathlib import Path
from typing import Annotated

import typer

from prismrec.cli.evaluate import RunFolder
from prismrec.errors import InputError


def page(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("page.html"),
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set, for the pictures, if it was moved.", show_default=False)
    ] = None,
    users: Annotated[int, typer.Option(help="Number of users: the most active ones.", min=1, max=100)] = 10,
    items: Annotated[int, typer.Option(help="Number of items: the most popular ones.", min=1, max=100)] = 24,
) -> None:
    """Write the page of `prismrec serve` as one HTML file that works without a server."""
    try:
        from prismrec.serving import ServerSettings, offline_page
    except ModuleNotFoundError as error:
        remedy = "FastAPI, uvicorn and prometheus-client: pip install fastapi uvicorn prometheus-client"
        raise InputError("prismrec page", str(error), remedy) from error
    from prismrec.cli.progress import PageLines
    from prismrec.files import folder_exists, require_outside, write_text

    if data is not None and not folder_exists(data):
        raise InputError("--data", str(data), "the folder of the data set")
    require_outside(run, out)
    settings = ServerSettings(run, data=data, log_requests=False)
    with PageLines() as lines:
        html = offline_page(settings, users, items, lines.report)
    write_text(out, html)
    typer.echo(f"Wrote {out} ({out.stat().st_size / 1e6:.1f} MB).")
