"""Each kind of bad input is refused, by the library and the command, with file, place, finding and expectation."""

import gzip
import io
import json
import pickle

import numpy as np
import polars as pl
import pytest

from prismrec.data import SplitSpec

INTERACTIONS = "user_id,item_id\na,x\nb,y\nc,z\n"
NUMBERED = "userID\titemID\tx_label\n0\t0\t0\n0\t2\t1\n1\t1\t2\n"
IDS = np.array(["x", "y", "z"])
ONES = np.ones((3, 2), np.float32)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def changed(array: np.ndarray, at: tuple[int, int], value: float) -> np.ndarray:
    array = array.copy()
    array[at] = value
    return array


# Name of the case: files, place, found, expected.
TABLES = {
    "missing column": ("interactions.csv", "user,when\na,3\n", ", line 1", "columns 'user', 'when'", "--item-column"),
    "two candidate columns": (
        "interactions.csv",
        "user,item,item_id\na,x,y\n",
        ", line 1",
        "'item', 'item_id'",
        "--item-column",
    ),
    "column twice": ("interactions.csv", "user,item,item\na,x,y\n", ", line 1", "column 'item' twice", "once"),
    "semicolons in csv": ("interactions.csv", "user;item\na;x\n", ", line 1", "semicolons", "commas"),
    "empty file": ("interactions.csv", "", "", "an empty file", "a header"),
    "header without rows": ("interactions.csv", "user,item\n", "", "a header without rows", "at least one row"),
    "empty user": ("interactions.csv", "user,item\na,x\n,y\n", ", line 3, column 'user'", "empty user id", "every row"),
    "empty item": (
        "interactions.csv",
        "user,item\n\na,x\n\nb,\n",
        ", line 5, column 'item'",
        "empty item id",
        "every row",
    ),
    "short row": ("interactions.csv", "user,item,time\na,x,1\nb,y\nc,z,3\n", ", line 3", "2 fields", "3 separated"),
    "long row": ("interactions.csv", "user,item\na,x\nb,y\nc,z,3\n", ", line 4", "3 fields", "2 separated by commas"),
    "mixed separators": ("interactions.tsv", "user\titem\na\tx\nb,y\n", ", line 3", "1 field", "2 separated by tabs"),
    "short row after a record of two lines": (
        "interactions.csv",
        'user,item,note\na,x,"two\nlines"\nb,y\n',
        ", line 4",
        "2 fields",
        "3 separated",
    ),
    "open quotation mark": (
        "interactions.csv",
        'user,item\na,x\n"b,y\nc,z\n',
        ", line 3",
        "cannot be parsed",
        "closed quotation marks",
    ),
    "latin-1": (
        "interactions.csv",
        "user,item\na,x\nb,caf\xe9\n".encode("latin-1"),
        ", line 3",
        "byte 0xe9 at offset 19",
        "UTF-8",
    ),
    "latin-1 in the header": (
        "interactions.csv",
        "user,item,pr\xe9nom\na,x,b\n".encode("latin-1"),
        ", line 1",
        "byte 0xe9 at offset 12",
        "UTF-8",
    ),
    "UTF-16": ("interactions.csv", INTERACTIONS.encode("utf-16"), "", "text in UTF-16", "text in UTF-8"),
    "carriage returns alone": (
        "interactions.csv",
        INTERACTIONS.replace("\n", "\r"),
        ", line 1",
        "carriage return alone",
        "line feeds",
    ),
    "a quotation mark inside a field": (
        "interactions.csv",
        'user,item,title\na,x,nails\nb,y,5" nails\n',
        ", line 3",
        "a quotation mark inside a field",
        "the mark doubled",
    ),
    "unknown label": (
        "interactions.csv",
        "user,item,split\na,x,train\nb,y,dev\n",
        ", line 3, column 'split'",
        "'dev'",
        "train, valid or test",
    ),
    "empty label": (
        "interactions.csv",
        "user,item,split\na,x,train\nb,y,\n",
        ", line 3, column 'split'",
        "None",
        "train, valid or test",
    ),
    "no training pair": (
        "interactions.csv",
        "user,item,split\na,x,valid\nb,y,test\nc,y,test\n",
        ", split by label",
        "no training pair (1 valid, 2 test)",
        "at least one training pair",
    ),
    "one pair in two splits": (
        "interactions.csv",
        "user,item,split\na,x,train\nb,y,train\na,x,test\n",
        ", user 'a' with item 'x'",
        "in train and test",
        "each pair in one split",
    ),
    "bad timestamp": (
        "interactions.csv",
        "user,item,time\na,x,1\nb,y,noon\n",
        ", line 3, column 'time'",
        "'noon'",
        "a number or an ISO date",
    ),
    "broken gzip": ("interactions.csv.gz", gzip.compress(b"user,item\na,x\n")[:-9], "", "broken gzip", "complete"),
    "broken parquet": ("interactions.parquet", b"PAR1 and nothing more", "", "unreadable", "a complete Parquet file"),
    "negative number": (
        "shop.inter",
        "userID\titemID\n0\t1\n0\t-1\n",
        ", line 3, column 'itemID'",
        "'-1'",
        "whole number from 0",
    ),
    "number that is not whole": (
        "shop.inter",
        "userID\titemID\n0\t1\n1.0\t1\n",
        ", line 3, column 'userID'",
        "'1.0'",
        "whole number from 0",
    ),
    "number beyond 64 bits": (
        "shop.inter",
        "userID\titemID\n0\t1\n0\t99999999999999999999\n",
        ", line 3, column 'itemID'",
        "'99999999999999999999'",
        "whole number from 0 to 999,999,999",
    ),
    "ids where row numbers are promised": (
        "shop.inter",
        "userID\titemID\n0\t1\n987654321\t1\n",
        ", column 'userID'",
        "user number 987,654,321 among 2",
        "rows counted from 0",
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_refuses_interactions(case, folder, refused):
    name, content, place, found, expected = TABLES[case]
    source = folder({name: content})
    if "timestamp" in case:
        refused(source, name + place, found, expected, "--by", "last", split=SplitSpec(by="last"))
    else:
        refused(source, name + place, found, expected)


# Name of the case: file of the features, content, place, found, expected; beside interactions with x, y, z.
FEATURES = {
    "truncated npy": (
        "0_feat.npy",
        npy(ONES)[:-4],
        "",
        "20 bytes of numbers",
        "24 for float32 [3, 2]",
    ),
    "npy cut in the header": ("0_feat.npy", npy(ONES)[:40], "", "broken npy header", "complete npy file"),
    "no npy at all": ("0_feat.npy", b"hello, world", "", "starts with b'hello,'", "numpy.save"),
    "pickle": ("0_feat.npy", pickle.dumps([1.0]), "", "a pickle, which is never loaded", "array of numbers"),
    "objects in npy": ("0_feat.npy", npy(np.array([[1, None]] * 3)), "", "dtype object", "never loaded"),
    "text in npy": ("0_feat.npy", npy(np.array([["a"]] * 3)), "", "dtype <U1", "real numbers"),
    "complex numbers": ("0_feat.npy", npy(ONES.astype(complex)), "", "dtype complex128", "real numbers"),
    "width 0": ("0_feat.npy", npy(np.ones((3, 0))), "", "width 0", "at least one column"),
    "no rows": ("0_feat.npy", npy(np.ones((0, 3))), "", "without a row", "one row for each item"),
    "one dimension": ("0_feat.npy", npy(np.ones(3)), "", "shape (3,)", "two dimensions"),
    "NaN": (
        "0_feat.npy",
        npy(changed(ONES, (1, 0), np.nan)),
        ", row 1 (item '1'), column 0",
        "nan",
        "a number within ±3.40e+38",
    ),
    "infinity in float16": (
        "0_feat.npy",
        npy(changed(ONES.astype(np.float16), (2, 1), -np.inf)),
        ", row 2 (item '2'), column 1",
        "-inf",
        "a number within ±3.40e+38",
    ),
    "too large for float32": (
        "0_feat.npy",
        npy(changed(ONES.astype(np.float64), (2, 1), 1e300)),
        ", row 2 (item '2'), column 1",
        "1e+300",
        "a number within ±3.40e+38, the range of float32",
    ),
}


@pytest.mark.parametrize("case", FEATURES)
def test_refuses_row_numbered_features(case, folder, refused):
    name, content, place, found, expected = FEATURES[case]
    refused(folder({"shop.inter": NUMBERED, name: content}), name + place, found, expected)


WITH_IDS = {
    "id twice": (
        "image.npz",
        {"ids": np.array(["x", "y", "x"]), "features": ONES},
        ", row 3",
        "item id 'x' a second time (first on row 1)",
        "each item id once",
    ),
    "empty id": (
        "image.npz",
        {"ids": np.array(["x", "", "z"]), "features": ONES},
        ", row 2",
        "empty item id",
        "3 rows",
    ),
    "more ids than rows": (
        "image.npz",
        {"ids": np.array(["x", "y", "z", "w"]), "features": ONES},
        "",
        "3 rows",
        "4 rows, one for each id",
    ),
    "npz without ids": ("image.npz", {"features": ONES}, "", "arrays 'features'", "arrays 'ids' and 'features'"),
    "npz with objects": (
        "image.npz",
        {"ids": IDS.astype(object), "features": ONES},
        ", array 'ids'",
        "Python objects, which are never loaded",
        "ids.astype(str)",
    ),
    "npz with objects for features": (
        "image.npz",
        {"ids": IDS, "features": ONES.astype(object)},
        ", array 'features'",
        "Python objects, which are never loaded",
        "features.astype('float32')",
    ),
    "ids that are numbers with a point": (
        "image.npz",
        {"ids": np.array([1.0, 2.0, 3.0]), "features": ONES},
        "",
        "ids of dtype float64",
        "text or whole numbers",
    ),
    "npy under the name of npz": ("image.npz", npy(ONES), "", "no npz archive", "arrays 'ids' and 'features'"),
    "NaN": (
        "image.npz",
        {"ids": IDS, "features": changed(ONES, (1, 1), np.nan)},
        ", row 1 (item 'y'), column 1",
        "nan",
        "leave the item's row out",
    ),
    "no interacted item": (
        "image.npz",
        {"ids": np.array(["p", "q", "r"]), "features": ONES},
        "",
        "3 items such as 'p', none with an interaction",
        "items of interactions.csv, such as 'x'",
    ),
    "npy without ids": ("image.npy", ONES, "", "no ids for its rows", "image.ids.txt"),
    "not safetensors": ("image.safetensors", b"hello, world", "", "unreadable content", "a safetensors file"),
}


@pytest.mark.parametrize("case", WITH_IDS)
def test_refuses_features_with_ids(case, folder, refused):
    name, content, place, found, expected = WITH_IDS[case]
    source = folder({"interactions.csv": INTERACTIONS, f"features/{name}": content})
    refused(source, f"features/{name}{place}", found, expected)


def test_refuses_item_numbers_beyond_the_feature_rows(folder, refused):
    source = folder({"shop.inter": NUMBERED, "text_feat.npy": ONES[:2]})
    refused(source, "shop.inter, line 3", "item number 2", "at most 1: row i of text_feat.npy")


def test_refuses_modalities_of_unequal_rows(folder, refused):
    source = folder({"shop.inter": NUMBERED, "audio_feat.npy": ONES, "text_feat.npy": np.ones((4, 2))})
    refused(source, "text_feat.npy", "4 rows", "3 rows, one for each row of audio_feat.npy")


def test_refuses_an_item_twice_in_the_item_table(folder, refused):
    source = folder({"interactions.csv": INTERACTIONS, "items.csv": "item_id,title\nx,X\ny,Y\nz,Z\ny,again\n"})
    refused(source, "items.csv, line 5, column 'item_id'", "item 'y' a second time", "each item once")


def test_refuses_an_item_that_the_item_table_lacks(folder, refused):
    source = folder({"interactions.csv": INTERACTIONS, "items.csv": "item_id,title\nx,X\nz,Z\n"})
    refused(source, "interactions.csv, line 3", "item 'y', one of 1 that items.csv lacks", "only items that items.csv")


def test_refuses_npy_rows_that_do_not_match_the_listed_ids(folder, refused):
    source = folder({"interactions.csv": INTERACTIONS, "features/a.npy": ONES, "features/a.ids.txt": "x\ny\n"})
    refused(source, "features/a.npy", "3 rows", "2 rows, one for each id in a.ids.txt")


def test_refuses_npy_rows_that_do_not_match_the_item_table(folder, refused):
    files = {"interactions.csv": INTERACTIONS, "items.csv": "item_id\nw\nx\ny\nz\n", "features/a.npy": ONES}
    source = folder(files)
    where = "features/a.npy"
    refused(source, where, "3 rows", "4 rows", "--npy-order", "items", npy_order="items")


def test_refuses_one_modality_in_two_files(folder, refused):
    arrays = {"ids": IDS, "features": ONES}
    source = folder({"interactions.csv": INTERACTIONS, "features/a.npz": arrays, "features/a.npy": ONES})
    refused(source, "", "'features/a.npy', 'features/a.npz'", "one file for 'a'")


def test_refuses_lists_of_unequal_length_in_parquet(folder, refused):
    source = folder({"interactions.csv": INTERACTIONS})
    (source / "features").mkdir()
    pl.DataFrame({"id": ["x", "y"], "f": [[1.0, 2.0], [3.0]]}).write_parquet(source / "features" / "a.parquet")
    refused(source, "features/a.parquet, row 2 (item 'y')", "1 numbers", "2, as on row 1")


def test_refuses_parquet_ids_with_a_point(folder, refused):
    source = folder({"features/none": ""})
    pl.DataFrame({"user": [1.0, 2.0], "item": [1, 2]}).write_parquet(source / "interactions.parquet")
    refused(source, "interactions.parquet, column 'user'", "ids of type Float64", "text or whole numbers")


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("split", pl.Series([["train"]]), "text or whole numbers"),
        ("time", pl.Series([1]).cast(pl.Time), "numbers or dates"),
        ("time", pl.Series([True]), "numbers or dates"),
    ],
)
def test_refuses_parquet_columns_of_another_type(column, values, expected, folder, refused):
    source = folder({"features/none": ""})
    pl.DataFrame({"user": [1], "item": [2], column: values}).write_parquet(source / "interactions.parquet")
    by = "last" if column == "time" else "label"
    place = f"interactions.parquet, column {column!r}"
    refused(source, place, f"type {values.dtype}", expected, "--by", by, split=SplitSpec(by=by))


def test_refuses_a_damaged_npz(folder, refused):
    source = folder({"interactions.csv": INTERACTIONS, "features/a.npz": {"ids": IDS, "features": ONES}})
    path = source / "features" / "a.npz"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\x93NUMPY", b"\x00NUMPY"))
    refused(source, "features/a.npz", "Bad CRC-32 for file 'ids.npy'", "arrays 'ids' and 'features'")


def test_names_the_row_of_an_empty_id_in_parquet(folder, refused):
    source = folder({"features/none": ""})
    pl.DataFrame({"user": ["a", "b", None], "item": [1, 2, 3]}).write_parquet(source / "interactions.parquet")
    refused(source, "interactions.parquet, row 3, column 'user'", "an empty user id", "a user id on every row")


def lattice(train: object) -> dict[str, str]:
    return {"5-core/train.json": json.dumps(train), "5-core/val.json": '{"0": [2]}', "5-core/test.json": "{}"}


@pytest.mark.parametrize(
    ("train", "place", "found", "expected"),
    [
        ({"0": [0, 1.5]}, ", user '0'", "item 1.5", "a whole number from 0"),
        ({"0": [0, True]}, ", user '0'", "item True", "a whole number from 0"),
        ({"0": [0], "1": [1, -2]}, ", user '1'", "item -2", "a whole number from 0"),
        ({"0": 7}, ", user '0'", "7", "a list of item numbers"),
        ({"alice": [0]}, "", "user 'alice'", "a whole number from 0"),
        ({"0": [[0]]}, ", user '0'", "item [0]", "a whole number from 0"),
        ([[0, 1]], "", "a JSON list", "user number → list"),
    ],
)
def test_refuses_lattice_files(train, place, found, expected, folder, refused):
    refused(folder(lattice(train)), f"5-core/train.json{place}", found, expected)


@pytest.mark.parametrize("content", ['{"0": [0],}', "[" * 100_000], ids=["comma too many", "too deep"])
def test_refuses_broken_json(content, folder, refused):
    source = folder(lattice({}) | {"5-core/train.json": content})
    refused(source, "5-core/train.json", "broken JSON", "an object: user number")


def test_refuses_two_lattice_cores(folder, refused):
    source = folder(lattice({}) | {"0-core/train.json": "{}"})
    refused(source, "", "'0-core/train.json', '5-core/train.json'", "one file of interactions")


def test_refuses_a_lattice_folder_without_validation(folder, refused):
    source = folder({"5-core/train.json": '{"0": [1]}'})
    refused(source, "5-core/val.json", "no such file", "train.json, val.json, test.json")


def test_refuses_lattice_item_numbers_beyond_the_feature_rows(folder, refused):
    files = lattice({"0": [0], "1": [1]}) | {"image_feat.npy": ONES[:2], "5-core/val.json": '{"0": [1], "1": [0, 2]}'}
    refused(folder(files), "5-core/val.json, user '1'", "item number 2", "at most 1: row i of image_feat.npy")


def test_refuses_a_source_that_does_not_exist(tmp_path, refused):
    refused(tmp_path / "nowhere", "", "no such file or folder", "interactions.csv")


def test_refuses_a_folder_without_interactions(folder, refused):
    refused(folder({"readme.txt": "hello"}), "", "no interactions", "interactions.csv")


def test_refuses_two_layouts_in_one_folder_until_one_is_chosen(folder, refused):
    source = folder({"interactions.csv": INTERACTIONS, "shop.inter": NUMBERED})
    refused(source, "", "several layouts: table, mmrec", "--format")


def test_refuses_two_files_of_interactions(folder, refused):
    source = folder({"interactions.csv": INTERACTIONS, "interactions.tsv": "user\titem\na\tx\n"})
    refused(source, "", "'interactions.csv', 'interactions.tsv'", "one file of interactions")


def test_refuses_a_file_larger_than_the_memory_limit(folder, refused):
    source = folder({"interactions.csv": INTERACTIONS})
    flags = ("--memory-limit", "10")
    refused(source, "interactions.csv", f"{len(INTERACTIONS)} bytes", "at most 10 bytes", *flags, memory_limit=10)


def test_refuses_a_gzip_file_whose_content_is_larger_than_the_memory_limit(folder, refused):
    text = "user,item\n" + "a,x\n" * 5000
    source = folder({"interactions.csv.gz": gzip.compress(text.encode())})
    flags = ("--memory-limit", "10K")
    refused(
        source, "interactions.csv.gz", f"at least {len(text):,} bytes", "at most 10,240", *flags, memory_limit=10240
    )


def test_refuses_an_unknown_modality(folder, refused):
    source = folder({"shop.inter": NUMBERED, "text_feat.npy": ONES})
    refused(source, "", "no modality 'image'", "one of: 'text'", "--modality", "image", modalities=["image"])
