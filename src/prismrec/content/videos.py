"""Decoding of videos: every file gives some of its frames or the reason why it gives none."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prismrec.content.encoder import UnreadableError
from prismrec.content.pictures import MOST_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image

FEWEST_FRAMES = 8
"""A video with at least this number of frames gives 8 to 15 of them, at equal distances."""
MOST_SECONDS = 300
"""Only the beginning of a longer video is decoded."""
VIDEO_POOLING = f"mean of {FEWEST_FRAMES} to {2 * FEWEST_FRAMES - 1} frames at equal distances"


def decode_video(data: bytes, prepare: Callable[["Image"], Any]) -> tuple[list[Any], str]:
    """Frames of a video as an encoder of pictures takes them, and a note; empty if there is none.

    Args:
        data: the content of the file.
        prepare: of the encoder. It makes frames small, so that no frame is kept as it is.

    Raises:
        UnreadableError: no video, a damaged one, or one with frames of more than `MOST_PIXELS` pixels.
    """
    import av

    if not data:
        raise UnreadableError("an empty file")
    kept: list[Any] = []
    distance = 1
    note = ""
    try:
        with av.open(io.BytesIO(data), "r") as file:
            if not file.streams.video:
                raise UnreadableError("no pictures in the video")
            for number, frame in enumerate(file.decode(file.streams.video[0])):
                if frame.width * frame.height > MOST_PIXELS:
                    raise UnreadableError(f"{frame.width:,} × {frame.height:,} pixels, more than {MOST_PIXELS:,}")
                if frame.time is not None and frame.time > MOST_SECONDS:
                    note = f"the first {MOST_SECONDS} s were used"
                    break
                if number % distance == 0:
                    kept.append(prepare(frame.to_image()))
                if len(kept) == 2 * FEWEST_FRAMES:
                    kept = kept[::2]
                    distance *= 2
    except UnreadableError:
        raise
    except Exception as error:  # decoders of damaged files raise errors of every kind
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UnreadableError(f"not a video, or a damaged one ({reason})") from None
    if not kept:
        raise UnreadableError("a video without frames")
    return kept, note
