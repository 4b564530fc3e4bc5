"""Encoders for tests, named as "plain_encoders:NAME" on the command line and in Python."""

import hashlib
import time

import numpy as np

from prismrec.content import Encoder, UnreadableError


class MeanColour(Encoder):
    """The mean colour of a picture; counts what it encodes."""

    name = "mean-colour"
    modality = "image"
    width = 3
    version = "1"
    weights = hashlib.sha256(b"mean colour").hexdigest()
    preprocessing = "mean of all pixels"
    batch_size = 4
    encoded = 0

    def prepare(self, content):
        return np.asarray(content, dtype=np.float32).mean(axis=(0, 1))

    def encode(self, batch):
        assert len(batch) <= self.batch_size
        type(self).encoded += len(batch)
        return np.stack(batch)


class SlowMeanColour(MeanColour):
    """Takes 4 ms for a batch. Rows depend on their batch a little, as in neural networks."""

    def encode(self, batch):
        time.sleep(0.004)
        return np.stack(batch) * np.float32(1 + 1e-6 * len(batch)) + np.float32(1e-3 * np.mean(batch))


class Lengths(Encoder):
    """The number of letters of a text, except that some texts have no good features."""

    name = "lengths"
    modality = "text"
    width = 2
    version = "1"
    weights = hashlib.sha256(b"lengths").hexdigest()

    def prepare(self, content):
        if "unspeakable" in content:
            raise UnreadableError("a word that this encoder does not take")
        return content

    def encode(self, batch):
        rows = np.array([[len(text), text.count("e")] for text in batch], dtype=np.float32)
        rows[["zero" in text for text in batch]] = 0
        rows[["nan" in text for text in batch]] = np.nan
        return rows
