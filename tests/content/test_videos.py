"""Videos: some of their frames, averaged."""

import io
from pathlib import Path

import av
import numpy as np
import polars as pl
import pytest

from prismrec.content import UnreadableError, encode
from prismrec.content.videos import FEWEST_FRAMES, decode_video
from prismrec.data import load


def video(colours: list[tuple[int, int, int]], kind: str = "mp4", codec: str = "mpeg4") -> bytes:
    """A video of 64 × 48 pixels with a frame of each colour."""
    content = io.BytesIO()
    with av.open(content, "w", format=kind) as file:
        stream = file.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for colour in colours:
            pixels = np.full((48, 64, 3), colour, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return content.getvalue()


def greys(count: int) -> list[tuple[int, int, int]]:
    return [(number, number, number) for number in np.linspace(20, 230, count).astype(int).tolist()]


def mean(image) -> float:
    return float(np.asarray(image).mean())


@pytest.mark.parametrize("count", [1, 7, 8, 15, 16, 100, 257])
def test_frames_are_at_equal_distances(count):
    frames, note = decode_video(video(greys(count)), mean)
    assert note == ""
    assert min(count, FEWEST_FRAMES) <= len(frames) < 2 * FEWEST_FRAMES
    assert frames[0] == pytest.approx(20, abs=6)
    steps = np.diff(frames)
    assert len(steps) == 0 or np.ptp(steps) < 12


@pytest.mark.parametrize(
    ("kind", "codec"), [("mp4", "mpeg4"), ("matroska", "mpeg4"), ("avi", "mpeg4"), ("mov", "mpeg4"), ("webm", "libvpx")]
)
def test_every_container_is_decoded(kind, codec):
    frames, _ = decode_video(video(greys(9), kind, codec), mean)
    assert len(frames) == 9


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", video(greys(9))[:200]])
def test_damaged_videos_are_refused(content):
    with pytest.raises(UnreadableError):
        decode_video(content, mean)


def test_random_changes_of_bytes_never_crash():
    rng = np.random.default_rng(1)
    good = video(greys(6))
    for _ in range(40):
        damaged = bytearray(good)
        for place in rng.integers(0, len(good), 4):
            damaged[place] = rng.integers(256)
        try:
            assert decode_video(bytes(damaged), mean)[0]
        except UnreadableError as error:
            assert str(error)


@pytest.mark.parametrize("encoder", ["plain_encoders:MeanColour", "histograms"])
def test_a_folder_of_videos_becomes_a_modality(tmp_path: Path, encoder: str):
    ids = [f"clip-{number}" for number in range(8)]
    (tmp_path / "clips").mkdir()
    for number, identifier in enumerate(ids[:6]):
        colours = [(30 * number, 200, 90), (200, 30 * number, 10)] * 6
        (tmp_path / "clips" / f"{identifier}.mp4").write_bytes(video(colours))
    (tmp_path / "clips" / "clip-6.webm").write_bytes(b"nothing")
    pl.DataFrame({"item_id": ids}).write_csv(tmp_path / "items.csv")
    clicks = {"user_id": [f"u{each % 4}" for each in range(32)], "item_id": ids * 4}
    pl.DataFrame(clicks).write_csv(tmp_path / "interactions.csv")
    manifest = encode(tmp_path, encoders={"video": encoder}, normalise="none")["video"].manifest
    assert (manifest.encoded, manifest.missing, manifest.unreadable) == (6, 1, 1)
    assert "frames" in manifest.pooling
    rows = load(tmp_path).features["video"]
    if encoder != "histograms":
        assert rows[3, 0] == pytest.approx((90 + 200) / 2, abs=8)
        assert rows[3, 1] == pytest.approx((200 + 90) / 2, abs=8)
    assert encode(tmp_path, encoders={"video": encoder}, normalise="none")["video"].newly_encoded == 0
