"""Keys of many contents: in order, over the limits of blocks, and in little memory."""

import tracemalloc

import numpy as np
import polars as pl

from prismrec.content import Encoder, encode
from prismrec.content.contents import find_texts, read_items
from prismrec.content.keys import Key, Keys
from prismrec.data.readers.features import read_features, sources_in
from prismrec.data.readers.raw import ReadOptions


def a_key(number: int) -> bytes:
    return number.to_bytes(16)


def test_keys_come_back_by_item_and_items_without_keys_are_counted():
    keys = Keys()
    given = [Key(item, number, a_key(10 * item + number)) for item in range(9000) for number in range(item % 3)]
    for key in given:
        keys.add(key)
    assert [key for block in keys.blocks() for key in block] == given
    groups = list(keys.groups())
    assert groups[0] == [a_key(10)], "item 0 has none"
    assert groups == [[a_key(10 * item + number) for number in range(item % 3)] for item in range(9000) if item % 3]
    counts = keys.counts(9002)
    assert counts.tolist() == [*[item % 3 for item in range(9000)], 0, 0]


def test_no_keys_are_no_groups():
    assert list(Keys().groups()) == []
    assert Keys().counts(3).tolist() == [0, 0, 0]


def test_a_key_takes_at_most_forty_bytes():
    tracemalloc.start()
    keys = Keys()
    for number in range(100_000):
        keys.add(Key(number, 0, a_key(number)))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 40 * 100_000


class Length(Encoder):
    """The length of a text and its last two digits."""

    name = "length"
    modality = "text"
    width = 2
    version = "1"
    weights = "1"

    def encode(self, batch):
        return np.array([[len(text), int(text[-2:])] for text in batch], dtype=np.float32)


def test_texts_and_rows_of_more_items_than_a_block_belong_to_their_items(tmp_path):
    numbers = range(10_000)
    texts = [None if number % 7 == 0 else f"number {number:05d}" for number in numbers]
    ids = [f"ä{number}" for number in numbers]
    pl.DataFrame({"item_id": ids, "title": texts}).write_csv(tmp_path / "items.csv")
    contents = find_texts(read_items(tmp_path), ["title"])
    assert contents is not None
    assert [list(pieces) for pieces in contents.pieces] == [[text] if text else [] for text in texts]
    assert contents.pieces[9999] == ["number 09999"]
    assert contents.pieces[1] == ["number 00001"]
    made = encode(tmp_path, text=["title"], encoders={"text": Length()}, normalise="none")["text"]
    read = read_features(sources_in(tmp_path / "features", ReadOptions(), None), tmp_path, None)["text"]
    kept = [number for number in numbers if texts[number]]
    assert read.ids.to_list() == [ids[number] for number in kept]
    assert np.array_equal(read.values[:, 1], [number % 100 for number in kept])
    assert (made.manifest.encoded, made.manifest.missing) == (len(kept), 10_000 - len(kept))
