"""Decoding of sounds: every file gives samples or the reason why it gives none."""

import io

import numpy as np

from prismrec.content.encoder import Sound, UnreadableError

MOST_SECONDS = 600
"""Only the beginning of a longer sound is decoded."""
_SILENCE = 1e-5
"""Amplitude below which a sound is silent: -100 dB."""


def decode_sound(data: bytes) -> tuple[Sound, str]:
    """The samples of a sound file, mixed to one channel, and a note; empty if there is none.

    Raises:
        UnreadableError: no sound, a damaged or a silent one.
    """
    import soundfile  # type: ignore[import-untyped]  # it ships no type information

    if not data:
        raise UnreadableError("an empty file")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate = int(file.samplerate)
            channels = file.read(frames=MOST_SECONDS * rate, dtype="float32", always_2d=True)  # [n, channels]
            is_cut = file.frames > len(channels) and len(channels) == MOST_SECONDS * rate
    except Exception as error:  # decoders of damaged files raise errors of every kind
        reason = str(error).splitlines()[-1][:120] if str(error) else type(error).__name__
        raise UnreadableError(f"not a sound, or a damaged one ({reason})") from None
    if not len(channels):
        raise UnreadableError("a sound without samples")
    if not np.isfinite(channels).all():
        raise UnreadableError("samples that are NaN or infinite")
    samples = channels.mean(axis=1, dtype=np.float32)
    if np.abs(samples).max() < _SILENCE:
        raise UnreadableError("silence")
    return Sound(samples, rate), f"the first {MOST_SECONDS} s were used" if is_cut else ""
