"""From texts, pictures and sounds to features: encoders, the cache of their rows, and the files that readers find."""

from prismrec.content.encode import encode, encode_like
from prismrec.content.encoder import Encoder, FittedEncoder, Sound, UnreadableError, encode_contents
from prismrec.content.modality import Encoded
from prismrec.content.registry import DEFAULTS, encoder_names, make_encoder

__all__ = [
    "DEFAULTS",
    "Encoded",
    "Encoder",
    "FittedEncoder",
    "Sound",
    "UnreadableError",
    "encode",
    "encode_contents",
    "encode_like",
    "encoder_names",
    "make_encoder",
]
