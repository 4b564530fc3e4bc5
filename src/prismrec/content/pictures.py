"""Decoding of pictures from anywhere: every file gives an RGB picture or the reason why it gives none."""

import io
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from prismrec.content.encoder import UnreadableError

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats of pictures. Other readers of Pillow start programs (EPS) or are for rare formats."""
MOST_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded."""
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_EXIF_ORIENTATION = 0x0112


class Decoded(NamedTuple):
    """A picture in mode RGB, upright, and what was done to it that a user may want to know; empty if nothing."""

    image: "Image"
    note: str = ""


def decode_picture(data: bytes) -> Decoded:
    """Decode the content of a picture file.

    The first frame of an animation counts. Transparent pixels become white. Deep and CMYK pictures become RGB with 8
    bits. The orientation in the EXIF data is applied.

    Raises:
        UnreadableError: no picture, a damaged or truncated one, or one of more than `MOST_PIXELS` pixels.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise UnreadableError("an empty file")
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise UnreadableError(f"{width:,} × {height:,} pixels, more than {MOST_PIXELS:,}")
            frames = int(getattr(picture, "n_frames", 1)) if getattr(picture, "is_animated", False) else 1
            picture.load()
            upright, note = _upright(picture)
            rgb = _as_rgb(upright)
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError("not a picture, or of an unknown format") from None
    except Image.DecompressionBombError:
        raise UnreadableError(f"more than {MOST_PIXELS:,} pixels") from None
    except MemoryError:
        raise UnreadableError("too large for the memory") from None
    except Exception as error:  # decoders of damaged files raise errors of every kind
        raise UnreadableError(_reason(error)) from None
    if frames > 1 and picture.format != "MPO":
        note = f"{frames} frames; the first was used" + (f"; {note}" if note else "")
    return Decoded(rgb, note)


@cache
def _formats() -> list[str]:
    """The formats that this build of Pillow reads."""
    from PIL import Image

    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _upright(picture: "Image") -> tuple["Image", str]:
    """The picture turned as its EXIF data say."""
    from PIL import ImageOps

    try:
        orientation = picture.getexif().get(_EXIF_ORIENTATION, 1)
        return (picture, "") if orientation == 1 else (ImageOps.exif_transpose(picture), "")
    except Exception:  # EXIF data are parsed by hand and damaged in many ways; the pixels are good
        return picture, "damaged EXIF data; not rotated"


def _as_rgb(picture: "Image") -> "Image":
    """The picture with 8 bits for each of red, green and blue."""
    from PIL import Image

    if picture.mode == "F":
        raise UnreadableError("pixels that are fractions, whose scale is unknown")
    if picture.mode in _DEEP_MODES:
        return _from_16_bits(picture)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        transparent = picture.convert("RGBA")
        background = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(background, transparent).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _from_16_bits(picture: "Image") -> "Image":
    import numpy as np
    from PIL import Image

    deep = np.asarray(picture).clip(0, 65535)
    return Image.fromarray((deep // 257).astype(np.uint8)).convert("RGB")


def _reason(error: Exception) -> str:
    text = str(error).splitlines()
    first = text[0][:120] if text else ""
    if "truncated" in first or isinstance(error, EOFError):
        return "a truncated picture"
    return f"a damaged picture ({first or type(error).__name__})"
