"""The memory limit counts what a file holds, not what it takes on disk."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib

import numpy as np
import polars as pl
import pytest

from prismrec.data import load
from prismrec.data.readers.parquet import read_parquet
from prismrec.errors import InputError

LIMIT = 100_000
ITEMS = 50_000


def members(path):
    """A gzip file of two members, of which the last one is small."""
    text = b"user,item\n" + b"a,x\n" * ITEMS
    path.write_bytes(gzip.compress(text) + gzip.compress(b"b,x\n"))


def repeated(path):
    """A Parquet file that stores a repeated value once."""
    pl.DataFrame({"user": ["a"] * ITEMS, "item": ["x"] * ITEMS}).write_parquet(path)


def repeated_numbers(path):
    pl.DataFrame({"user": pl.repeat(1, ITEMS, eager=True), "item": pl.repeat(2, ITEMS, eager=True)}).write_parquet(path)


def long_texts(path):
    """Texts, also as categories and in lists, that are stored once."""
    columns = {"user": ["a" * 1000] * 200, "item": ["x"] * 200}
    pl.DataFrame(columns).with_columns(category="user", listed=pl.concat_list("user")).write_parquet(path)


def categories(path):
    frame = pl.DataFrame({"user": ["a" * 1000] * 200, "item": ["x"] * 200})
    frame.with_columns(pl.col("user").cast(pl.Categorical)).write_parquet(path)


def texts_in_lists(path):
    frame = pl.DataFrame({"item": ["x"], "tags": [["a" * 1000] * 200]})
    frame.with_columns(other=pl.struct("tags")).write_parquet(path)


def lists(path):
    pl.DataFrame({"id": ["x"], "f": [[0.0] * ITEMS]}).write_parquet(path)


def archive(path):
    np.savez_compressed(path, ids=np.array(["x"]), features=np.zeros((1, ITEMS), np.float32))


def many_ids(path):
    np.savez_compressed(path, ids=np.array(["x"] * ITEMS), features=np.zeros((1, 1), np.float32))


def matrix(path):
    np.save(path, np.zeros((1, ITEMS), np.float32))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("interactions.csv.gz", members),
        ("interactions.csv", members),
        ("items.tsv.gz", members),
        ("features/image.ids.txt", members),
        ("interactions.parquet", repeated),
        ("interactions.parquet", repeated_numbers),
        ("interactions.parquet", long_texts),
        ("interactions.parquet", categories),
        ("items.parquet", texts_in_lists),
        ("users.parquet", repeated),
        ("features/image.parquet", lists),
        ("features/image.npz", archive),
        ("features/image.npz", many_ids),
        ("features/image.npy", matrix),
        ("image_feat.npy", matrix),
    ],
)
def test_packed_files_beyond_the_limit_are_refused(name, write, folder):
    files = {"features/readme": ""}
    if name == "image_feat.npy":
        files |= {"shop.inter": "userID\titemID\n0\t0\n"}
    elif not name.startswith("interactions"):
        files |= {"interactions.csv": "user,item\na,x\n"}
    if name.endswith(".ids.txt"):
        files |= {"features/image.npy": np.ones((1, 1))}
    source = folder(files)
    write(source / name)
    with pytest.raises(InputError, match="the memory limit") as refusal:
        load(source, memory_limit=LIMIT)
    assert refusal.value.where == str(source / name)


def test_a_modality_beyond_the_limit_can_be_left_out(folder):
    source = folder({"shop.inter": "userID\titemID\n0\t0\n", "a_feat.npy": np.ones((1, 2))})
    matrix(source / "image_feat.npy")
    assert set(load(source, memory_limit=LIMIT, modalities=["a"]).features) == {"a"}


def test_unzipping_stops_at_the_limit(tmp_path):
    """A gigabyte of zeros in a megabyte of gzip is not unpacked."""
    source = tmp_path / "interactions.csv.gz"
    with gzip.open(source, "wb", compresslevel=9) as file:
        for _ in range(1024):
            file.write(bytes(2**20))
    with pytest.raises(InputError, match=r"at least 2,097,152 bytes"):
        load(source, memory_limit=2**20 + 1)


@pytest.mark.parametrize("compression", ["uncompressed", "snappy", "zstd", "gzip", "lz4"])
def test_the_size_of_a_parquet_file_is_that_of_its_values(compression, tmp_path):
    path = tmp_path / "a.parquet"
    floats = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    table = pl.DataFrame({"id": [f"item {i}" for i in range(1000)], "f": floats, "n": range(1000)})
    table.write_parquet(path, compression=compression, row_group_size=300)
    assert read_parquet(path, int(2.5 * table.estimated_size())).equals(table)
    with pytest.raises(InputError, match="the memory limit"):
        read_parquet(path, int(0.8 * table.estimated_size()))


@pytest.mark.parametrize("change", [1, 128, 255])
def test_a_damaged_byte_in_parquet_never_ends_the_process(change, tmp_path):
    """polars aborts if the header of a page declares an impossible number of values."""
    path = tmp_path / "a.parquet"
    pl.DataFrame({"id": ["x", "y", "x"] * 5, "f": [[1.0], [2.0, 3.0], []] * 5}).write_parquet(path)
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ change]) + content[at + 1 :])
        try:
            assert len(read_parquet(path, None)) == 15
        except InputError as error:
            assert "\n" not in str(error)


def test_an_archive_that_holds_more_than_it_declares_is_refused(folder):
    source = folder({"interactions.csv": "user,item\na,x\n", "features/readme": ""})
    content = io.BytesIO()
    np.save(content, np.ones((1, 4), np.float32))
    with zipfile.ZipFile(source / "features" / "image.npz", "w") as file:
        file.writestr("features.npy", content.getvalue() + b"\0" * 16)
        ids = io.BytesIO()
        np.save(ids, np.array(["x"]))
        file.writestr("ids.npy", ids.getvalue())
    with pytest.raises(InputError, match="32 bytes of numbers; expected 16"):
        load(source)


@pytest.mark.parametrize("change", [lambda b: b[:200] + b"\1" + b[200:], lambda b: b * 2, lambda b: b + b"\n"])
@pytest.mark.parametrize("place", ["features/image.npy", "image_feat.npy"])
def test_an_array_longer_than_its_header_declares_is_refused(change, place, folder):
    files = {"shop.inter": "userID\titemID\n0\t0\n"}
    if place.startswith("features"):
        files = {"interactions.csv": "user,item\na,x\n", "features/image.ids.txt": "x\n"}
    source = folder(files | {place: np.ones((1, 40))})
    path = source / place
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match="damaged, or two files in one"):
        load(source)


@pytest.mark.parametrize(
    "pack", [zlib.compress, bz2.compress, lzma.compress, lambda b: gzip.compress(gzip.compress(b))]
)
def test_other_compression_is_refused_and_not_unpacked(pack, folder):
    with pytest.raises(InputError, match="content compressed with"):
        load(folder({"interactions.csv": pack(b"user,item\na,x\n")}))


def test_zstd_is_refused_and_not_unpacked(folder):
    source = folder({"readme": ""})
    content = io.BytesIO()
    pl.DataFrame({"user": ["a"], "item": ["x"]}).write_parquet(content, compression="zstd")
    (source / "interactions.csv").write_bytes(bytes.fromhex("28b52ffd") + content.getvalue())
    with pytest.raises(InputError, match="content compressed with zstd"):
        load(source)
