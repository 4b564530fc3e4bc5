"""`prismrec serve`: a run as an HTTP API and a page in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from prismrec.cli.evaluate import RunFolder
from prismrec.cli.options import print_note
from prismrec.errors import InputError


def serve(
    run: RunFolder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)] = 1,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data set, for the pictures. On a local address, the folder of training if not given.",
            show_default=False,
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with a token that requests must carry; or set PRISMREC_TOKEN.", show_default=False),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(help="Web origin that may call the API; may be repeated.", show_default=False),
    ] = None,
) -> None:
    """Serve a run: recommendations, similar items and reasons over HTTP, and a page in the browser.

    To replace the run without downtime, serve a symbolic link to it, and later point the link to the new run.
    """
    import os

    try:
        from prismrec.serving import ServerSettings, read_token
        from prismrec.serving import serve as serve_run
    except ModuleNotFoundError as error:
        remedy = "FastAPI, uvicorn and prometheus-client: pip install fastapi uvicorn prometheus-client"
        raise InputError("prismrec serve", str(error), remedy) from error
    from prismrec.files import folder_exists

    if data is not None and not folder_exists(data):
        raise InputError("--data", str(data), "the folder of the data set")
    token = read_token(token_file, os.environ.get("PRISMREC_TOKEN"))
    settings = ServerSettings(run, host, port, workers, token, tuple(cors or ()), data)
    if token is None and not settings.is_local:
        print_note(f"others can reach {host}, and there is no token: see --token-file")
    serve_run(settings)
