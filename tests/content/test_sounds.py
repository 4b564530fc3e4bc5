"""Sounds: decoding, what is refused, and the encoder of music."""

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from prismrec.content import Sound, UnreadableError, encode, make_encoder
from prismrec.content.encoders.tf_checkpoint import read_checkpoint
from prismrec.content.sounds import MOST_SECONDS, decode_sound
from prismrec.data import load
from prismrec.errors import InputError

RATE = 16_000
SECONDS = 4
TIME = np.arange(RATE * SECONDS) / RATE


def tone(pitch: float = 440) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * pitch * TIME)).astype(np.float32)


def beats(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 0.2, len(TIME))
    return (noise * (np.sin(2 * np.pi * 2 * TIME) > 0.95)).astype(np.float32)


def saved(samples: np.ndarray, kind: str, **options: str) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, RATE, format=kind, **options)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_every_format_gives_the_samples(kind):
    sound, note = decode_sound(saved(tone(), kind))
    assert note == ""
    assert sound.rate == RATE
    spectrum = np.abs(np.fft.rfft(sound.samples[: RATE * 3]))
    assert abs(spectrum.argmax() / 3 - 440) < 1


def test_channels_are_averaged():
    stereo = np.stack([tone(), np.zeros_like(tone())], axis=1)
    sound, _ = decode_sound(saved(stereo, "WAV", subtype="FLOAT"))
    np.testing.assert_allclose(sound.samples, tone() / 2, atol=1e-6)


def test_a_long_sound_is_cut_with_a_note():
    long = np.full((MOST_SECONDS + 5) * RATE, 0.1, dtype=np.float32)
    sound, note = decode_sound(saved(long, "FLAC"))
    assert len(sound.samples) == MOST_SECONDS * RATE
    assert note == f"the first {MOST_SECONDS} s were used"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"<html>not found</html>", "not a sound"),
        (saved(np.zeros(RATE, dtype=np.float32), "WAV"), "silence"),
        (saved(np.zeros(0, dtype=np.float32), "WAV"), "without samples"),
        (saved(np.full(RATE, np.nan, dtype=np.float32), "WAV", subtype="FLOAT"), "NaN"),
        (saved(tone(), "FLAC")[:30], "not a sound"),
    ],
)
def test_silent_and_damaged_sounds_are_refused_with_a_reason(content, reason):
    with pytest.raises(UnreadableError, match=reason):
        decode_sound(content)


def test_random_changes_of_bytes_never_crash():
    rng = np.random.default_rng(1)
    for kind in ("WAV", "FLAC", "OGG", "MP3"):
        good = saved(tone()[:4000], kind)
        for _ in range(40):
            damaged = bytearray(good)
            for place in rng.integers(0, len(good), 4):
                damaged[place] = rng.integers(256)
            try:
                assert np.isfinite(decode_sound(bytes(damaged))[0].samples).all()
            except UnreadableError as error:
                assert str(error)


@pytest.fixture(scope="module")
def music() -> Path:
    found = find_spec("musicnn")
    if found is None or found.origin is None:
        pytest.skip("the package musicnn is not installed; make test installs it")
    return Path(found.origin).parent / "MSD_musicnn"


def test_the_checkpoint_has_the_layers_of_the_paper(music):
    variables = read_checkpoint(music / ".index", music / ".data-00000-of-00001")
    weights = {name: array for name, array in variables.items() if "Adam" not in name}
    assert weights["conv2d/kernel"].shape == (7, 38, 1, 204)
    assert weights["conv2d_5/kernel"].shape == (7, 561, 1, 64)
    assert weights["dense/kernel"].shape == (2 * 753, 200)
    assert all(np.isfinite(array).all() for array in weights.values())
    assert all((array > 0).all() for name, array in weights.items() if name.endswith("moving_variance"))
    total = sum(array.size for name, array in weights.items() if "moving" not in name and "beta" not in name)
    assert 0.7e6 < total < 0.85e6, "the package says 0.79 million"


def test_another_file_is_no_checkpoint(tmp_path):
    (tmp_path / "x.index").write_bytes(b"x" * 100)
    (tmp_path / "x.data").write_bytes(b"")
    with pytest.raises(InputError, match=r"x\.index"):
        read_checkpoint(tmp_path / "x.index", tmp_path / "x.data")


def test_sounds_become_tags_that_fit(music):
    """A pure tone is more ambient and less dance music than a beat, by the tags that the network was trained on."""
    encoder = make_encoder("musicnn", "cpu")
    variables = read_checkpoint(music / ".index", music / ".data-00000-of-00001")
    rows = encoder.encode([encoder.prepare(Sound(samples, RATE)) for samples in (tone(), beats())])
    logits = rows @ variables["dense_1/kernel"] + variables["dense_1/bias"]
    dance, ambient = 6, 28  # places in MSD_LABELS of musicnn/configuration.py
    assert logits[0, ambient] > logits[0, dance] + 1
    assert logits[1, dance] - logits[1, ambient] > logits[0, dance] - logits[0, ambient] + 2


@pytest.mark.usefixtures("music")
def test_short_sounds_are_repeated_and_tiny_ones_refused():
    encoder = make_encoder("musicnn", "cpu")
    assert encoder.prepare(Sound(tone()[: RATE // 2], RATE)).shape == (1, 187, 96)
    with pytest.raises(UnreadableError, match=r"less than 0\.1 s"):
        encoder.prepare(Sound(tone()[:100], RATE))


@pytest.mark.usefixtures("music")
def test_a_folder_of_sounds_becomes_a_modality(tmp_path):
    ids = [f"song-{number}" for number in range(6)]
    (tmp_path / "sounds").mkdir()
    for number, identifier in enumerate(ids[:4]):
        samples = tone(220 * (number + 1)) if number % 2 else beats(number)
        soundfile.write(tmp_path / "sounds" / f"{identifier}.flac", samples, RATE)
    (tmp_path / "sounds" / "song-4.mp3").write_bytes(b"nothing")
    pl.DataFrame({"item_id": ids}).write_csv(tmp_path / "items.csv")
    pl.DataFrame({"user_id": [f"u{each % 4}" for each in range(24)], "item_id": ids * 4}).write_csv(
        tmp_path / "interactions.csv"
    )
    assert any("5 sounds were not read" in note for note in load(tmp_path).notes)
    manifest = encode(tmp_path, device="cpu")["audio"].manifest
    assert (manifest.encoded, manifest.missing, manifest.unreadable) == (4, 1, 1)
    assert load(tmp_path).features["audio"].shape == (6, 200)
