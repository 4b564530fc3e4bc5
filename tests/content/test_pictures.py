"""Every file gives an upright RGB picture or a reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from prismrec.content import UnreadableError
from prismrec.content.pictures import MOST_PIXELS, decode_picture

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
ORIENTATION = 0x0112


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def picture(mode: str = "RGB") -> Image.Image:
    """The left half red, the right half blue, 20 × 10."""
    pixels = np.zeros((10, 20, 3), dtype=np.uint8)
    pixels[:, :10] = (200, 10, 30)
    pixels[:, 10:] = (10, 40, 220)
    return Image.fromarray(pixels).convert(mode)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header declares a size; its pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *[("RGB", kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF")],
        *[("P", kind) for kind in ("GIF", "PNG")],
        *[("CMYK", kind) for kind in ("JPEG", "TIFF")],
        *[("YCbCr", "JPEG"), ("RGBA", "PNG")],
    ],
)
def test_colours_survive_every_format(mode, kind):
    decoded = decode_picture(saved(picture(mode), kind))
    assert decoded.image.mode == "RGB"
    assert decoded.note == ""
    red, blue = np.asarray(decoded.image)[5, 2], np.asarray(decoded.image)[5, 17]
    assert red[0] > 120
    assert red[2] < 90
    assert blue[2] > 120
    assert blue[0] < 90


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_pictures_without_colour_become_grey(mode):
    pixels = np.asarray(decode_picture(saved(picture(mode), "PNG")).image).astype(int)
    assert np.ptp(pixels, axis=2).max() == 0


def test_16_bits_become_8_without_clipping():
    deep = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    for kind in ("PNG", "TIFF"):
        pixels = np.asarray(decode_picture(saved(Image.fromarray(deep), kind)).image)[:, :, 0].astype(int)
        assert np.abs(pixels - np.arange(256).reshape(16, 16)).max() <= 1


def test_transparent_pixels_become_white():
    transparent = picture("RGBA")
    transparent.putalpha(0)
    assert (np.asarray(decode_picture(saved(transparent, "PNG")).image) == 255).all()
    palette = picture("P")
    content = saved(palette, "PNG", transparency=palette.getpixel((2, 5)))
    pixels = np.asarray(decode_picture(content).image)
    assert (pixels[5, 2] == 255).all()
    assert pixels[5, 17][2] > 120


@pytest.mark.parametrize(("orientation", "corner"), [(3, (0, 0)), (6, (0, 0)), (8, (19, 0)), (2, (0, 0))])
def test_the_orientation_of_a_camera_is_applied(orientation, corner):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    decoded = decode_picture(saved(picture(), "JPEG", exif=exif)).image
    assert decoded.size == ((20, 10) if orientation < 5 else (10, 20))
    upright = np.asarray(decoded)
    first_row_is_red = upright[0, :, 0].mean() > upright[0, :, 2].mean()
    expected = {3: None, 2: None, 6: True, 8: False}[orientation]
    if expected is None:
        assert upright[5, 2][2] > upright[5, 2][0], "mirrored or turned: blue is on the left now"
    else:
        assert first_row_is_red == expected


def test_damaged_exif_data_leave_the_picture_as_it_is():
    content = saved(picture(), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff broken")
    decoded = decode_picture(content)
    assert decoded.image.size == (20, 10)


def test_an_animation_gives_its_first_frame_with_a_note():
    frames = [picture(), picture().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    for kind in ("GIF", "WEBP", "PNG"):
        decoded = decode_picture(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert "2 frames" in decoded.note
        assert np.asarray(decoded.image)[5, 2][0] > 120


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_pictures_are_refused(kind, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = saved(Image.fromarray(noise), kind)
    with pytest.raises(UnreadableError):
        decode_picture(content[: int(len(content) * share)])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"<html>404 Not Found</html>", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (png_of_size(60_000, 60_000), "more than"),
        (png_of_size(MOST_PIXELS // 100 + 1, 100), "more than"),
        (png_of_size(0, 0), "picture"),
    ],
)
def test_other_files_are_refused_with_a_reason(content, reason):
    with pytest.raises(UnreadableError, match=reason):
        decode_picture(content)


def test_random_changes_of_bytes_never_crash():
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        good = saved(noise, kind)
        for _ in range(60):
            damaged = bytearray(good)
            for place in rng.integers(0, len(good), 4):
                damaged[place] = rng.integers(256)
            try:
                assert decode_picture(bytes(damaged)).image.mode == "RGB"
            except UnreadableError as error:
                assert str(error)
