"""Models in a local folder or on the Hugging Face hub, found by name and revision."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from prismrec.content.hashes import hash_files
from prismrec.errors import InputError, parse_json
from prismrec.files import folder_exists, read_text

_WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
_NOT_WANTED = ["onnx/*", "openvino/*"]


class HubFolder:
    """The files of a model.

    Attributes:
        path: the folder.
        weights: SHA-256 of all files that decide what the model computes.
        version: the revision, or the name of the folder, with the version of the library.
        config: the content of `config.json`.
    """

    def __init__(self, place: str, library: str) -> None:
        """Find a model.

        Args:
            place: a folder, or NAME@REVISION on the hub, where the revision is a commit or a tag.
            library: the package that runs the model.

        Raises:
            InputError: no such folder, no revision, no network, or a model without safetensors files.
        """
        local = Path(place)
        is_local = folder_exists(local)
        self.path = local if is_local else _download(place)
        revision = local.resolve().name if is_local else place.partition("@")[2]
        self.version = f"{revision}, {library} {version(library)}"
        files = [path for path in self.path.rglob("*") if path.suffix in (".safetensors", ".json", ".txt", ".model")]
        if not any(path.suffix == ".safetensors" for path in files):
            raise InputError(self.path, "no weights in *.safetensors", "a model saved with safetensors, without pickle")
        self.weights = hash_files(files)
        self.config: dict[str, Any] = _read_config(self.path / "config.json")


def _download(place: str) -> Path:
    name, _, revision = place.partition("@")
    if not name or "/" not in name:
        raise InputError("encoder", repr(place), "a folder, or OWNER/NAME@REVISION on the Hugging Face hub")
    if not revision:
        raise InputError("encoder", repr(place), f"a revision, so that rows stay comparable: {name}@COMMIT")
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(name, revision=revision, allow_patterns=_WANTED, ignore_patterns=_NOT_WANTED)
    except Exception as error:  # the client raises errors of several libraries for a missing model or network
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        expected = "a model that can be downloaded, or a folder with its files"
        raise InputError(f"encoder {place}", reason, expected) from error
    return Path(folder)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise InputError(path, str(error), "the config.json of a model") from error
    if not isinstance(config, dict):
        raise InputError(path, type(config).__name__, "the config.json of a model")
    return config
