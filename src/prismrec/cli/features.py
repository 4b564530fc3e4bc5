"""`prismrec features`: make features of the texts, pictures and sounds of a folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec.cli.options import AsJson, Quiet, print_note
from prismrec.cli.source import ItemColumn

if TYPE_CHECKING:
    from prismrec.content import Encoded

_TEXT_HELP = "Encode this column of the item table; may be repeated. The columns are joined to one text."
_IMAGE_HELP = "A column with paths of pictures, or a folder with pictures named by item id; columns may be repeated."
_AUDIO_HELP = "A column with paths of sounds, or a folder with sounds named by item id; columns may be repeated."
_VIDEO_HELP = "A column with paths of videos, or a folder with videos named by item id; columns may be repeated."
_NAME_HELP = "Name of the modality, if one kind is encoded; text, image, audio or video if not given."
_NORMALISE_HELP = "rows (each row has length 1), standardise (each column has mean 0 and variance 1) or none."
_FORMAT_HELP = "safetensors or parquet."
_WORKERS_HELP = "Threads that decode files; the number of cores if not given."
_REFIT_HELP = "Fit tfidf and histograms again, instead of using what they learned in an earlier call."

Columns = list[str] | None
_VIDEO_ENCODER_HELP = "Encoder of pictures, for the frames; efficientnet-lite0 if not given."
TextEncoder = Annotated[str | None, typer.Option("--text-encoder", help="wordllama if not given.")]
ImageEncoder = Annotated[str | None, typer.Option("--image-encoder", help="efficientnet-lite0 if not given.")]
AudioEncoder = Annotated[str | None, typer.Option("--audio-encoder", help="musicnn if not given.")]
VideoEncoder = Annotated[str | None, typer.Option("--video-encoder", help=_VIDEO_ENCODER_HELP)]
FileFormat = Annotated[str, typer.Option("--file-format", help=_FORMAT_HELP)]
Workers = Annotated[int | None, typer.Option("--workers", help=_WORKERS_HELP, min=1)]
Folder = Annotated[Path, typer.Argument(help="A folder with an item table.", show_default=False)]


def features(
    source: Folder,
    text: Annotated[Columns, typer.Option("--text", help=_TEXT_HELP, show_default=False)] = None,
    image: Annotated[Columns, typer.Option("--image", help=_IMAGE_HELP, show_default=False)] = None,
    audio: Annotated[Columns, typer.Option("--audio", help=_AUDIO_HELP, show_default=False)] = None,
    video: Annotated[Columns, typer.Option("--video", help=_VIDEO_HELP, show_default=False)] = None,
    text_encoder: TextEncoder = None,
    image_encoder: ImageEncoder = None,
    audio_encoder: AudioEncoder = None,
    video_encoder: VideoEncoder = None,
    name: Annotated[str | None, typer.Option("--name", help=_NAME_HELP)] = None,
    normalise: Annotated[str, typer.Option("--normalise", help=_NORMALISE_HELP)] = "rows",
    file_format: FileFormat = "safetensors",
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    workers: Workers = None,
    refit: Annotated[bool, typer.Option("--refit", help=_REFIT_HELP)] = False,
    item_column: ItemColumn = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Encode texts, pictures, sounds and videos, and write them to SOURCE/features. `train` finds them there.

    Without --text, --image, --audio and --video, everything that is recognised is encoded. Repeat the command to
    continue an interrupted one.
    """
    from prismrec.cli.options import check_device_and_precision
    from prismrec.cli.progress import EncodingLines
    from prismrec.content import encode

    check_device_and_precision(device, "float32")
    named = {"text": text_encoder, "image": image_encoder, "audio": audio_encoder, "video": video_encoder}
    columns = {"text": text, "image": image, "audio": audio, "video": video}
    contents: dict[str, Any] = {kind: each or () for kind, each in columns.items()}
    settings: dict[str, Any] = {"normalise": normalise, "file_format": file_format, "device": device}
    encoders: dict[Any, Any] = {kind: encoder for kind, encoder in named.items() if encoder is not None}
    settings |= {"name": name, "workers": workers, "refit": refit, "item_column": item_column}
    try:
        with EncodingLines(quiet=quiet or as_json) as lines:
            results = encode(source, encoders=encoders, progress=lines.report, **contents, **settings)
    except KeyboardInterrupt as error:
        typer.echo("prismrec: stopped; repeat the command to continue", err=True)
        raise typer.Exit(130) from error
    if as_json:
        _print_json(results)
        return
    for encoded in results.values():
        show_encoded(encoded, quiet=quiet)


def _print_json(results: "dict[str, Encoded]") -> None:
    import json

    found = {}
    for modality, encoded in results.items():
        paths = {"path": str(encoded.path), "report": str(encoded.report)}
        manifest = encoded.manifest.model_dump(mode="json")
        found[modality] = {**manifest, **paths, "newly_encoded": encoded.newly_encoded, "notes": encoded.notes}
    typer.echo(json.dumps(found, ensure_ascii=False))


def show_encoded(encoded: "Encoded", *, quiet: bool) -> None:
    """Print what was encoded and where it is."""
    manifest = encoded.manifest
    source = f"{manifest.folder}/" if manifest.folder else ", ".join(manifest.columns)
    for note in () if quiet else encoded.notes:
        print_note(note)
    if manifest.most_pieces > 1 and not quiet:
        print_note(f"items have up to {manifest.most_pieces} files; their rows are averaged")
    counts = f"{manifest.encoded:,} of {manifest.items:,} items"
    if manifest.missing or manifest.unreadable:
        counts += f" ({manifest.missing:,} without, {manifest.unreadable:,} unreadable: {encoded.report})"
    typer.echo(
        f"{manifest.modality}: {counts} from {source} by {manifest.encoder}, {manifest.width:,} columns, "
        f"in {encoded.path}"
    )
