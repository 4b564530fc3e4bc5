"""No column becomes a feature by guess, and no feature file is left out without a word."""

import json
import zipfile

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from prismrec.data import ColumnNames, SplitSpec, load
from prismrec.errors import InputError

IDS = [f"x{i}" for i in range(6)]
INTERACTIONS = "user,item\n" + "".join(f"a,{identifier}\n" for identifier in IDS)
RANDOM = np.random.default_rng(0).normal(size=(6, 3))
COLUMNS = {"item_id": IDS, "f0": RANDOM[:, 0], "f1": RANDOM[:, 1]}


@pytest.fixture
def shop(folder):
    """A folder of interactions with a feature table of the given columns."""

    def write(columns):
        source = folder({"interactions.csv": INTERACTIONS, "features/readme": ""})
        pl.DataFrame(columns).write_parquet(source / "features" / "image.parquet")
        return source

    return write


@pytest.mark.parametrize("name", ["__index_level_0__", "__index_level_1__", "Unnamed: 0"])
@pytest.mark.parametrize("rest", [COLUMNS, {"item_id": IDS, "f": RANDOM.tolist()}], ids=["columns", "lists"])
def test_the_row_index_of_pandas_is_left_out_and_noted(name, rest, shop):
    dataset = load(shop({name: [17, 90210, 5, 44, 1200, 3]} | rest))
    assert dataset.features["image"].max() < 10
    assert f"image.parquet: left out {name!r}, the row index of pandas" in dataset.notes


@pytest.mark.parametrize("name", ["index", "level_0", "idx", "row", "n", "user_id", "timestamp", "price", "f", "g0"])
@pytest.mark.parametrize("first", [True, False])
def test_a_number_beside_numbered_features_is_refused_or_ignored_on_request(name, first, shop):
    odd = {name: [17, 90210, 5, 44, 1200, 3]}
    source = shop(odd | COLUMNS if first else COLUMNS | odd)
    with pytest.raises(InputError, match="may be no features") as refusal:
        load(source)
    assert f"--ignore-column '{name}'" in refusal.value.expected
    dataset = load(source, ignore_columns=[name])
    assert dataset.features["image"].shape == (6, 2)
    assert f"image.parquet: columns ignored: {name}" in dataset.notes


@pytest.mark.parametrize("name", ["id", "item", "itemID", "iid", "asin"])
def test_of_two_columns_with_ids_none_is_guessed(name, shop):
    source = shop(COLUMNS | {name: range(6)})
    with pytest.raises(InputError, match="2 columns that could hold the item ids"):
        load(source)
    dataset = load(source, ignore_columns=[f"image.parquet:{name}"])
    assert dataset.features["image"].shape == (6, 2)
    assert f"image.parquet: columns ignored: {name}" in dataset.notes


def test_the_column_of_ids_can_be_named(shop):
    source = shop({"sku": IDS, "f0": RANDOM[:, 0], "f1": RANDOM[:, 1]})
    with pytest.raises(InputError, match="an id column"):
        load(source)
    path = source / "interactions.csv"
    path.write_text(INTERACTIONS.replace("item", "sku"))
    assert load(source, columns=ColumnNames(item="sku")).features["image"].shape == (6, 2)


@pytest.mark.parametrize("running", [[0, 1, 2, 3, 4, 5], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], [1003, 7, 88, 10025, 4, 5]])
def test_distinct_whole_numbers_may_be_ids_and_are_no_features(running, shop):
    source = shop({"item_id": IDS, "place": running, "price": RANDOM[:, 0]})
    with pytest.raises(InputError, match="may be no features: 'place' beside 'price'"):
        load(source)
    assert load(source, ignore_columns=["place"]).features["image"].shape == (6, 1)


@pytest.mark.parametrize("names", [("price", "weight"), ("0", "1"), ("dim_1", "dim_2"), ("price", "size2")])
def test_columns_of_plain_measures_are_features(names, shop):
    dataset = load(shop({"id": IDS, names[0]: RANDOM[:, 0], names[1]: RANDOM[:, 1]}))
    np.testing.assert_array_equal(dataset.features["image"], RANDOM[:, :2].astype(np.float32))


def test_the_columns_that_are_features_are_noted(shop):
    brands = {"brand": [1, 1, 2, 2, 3, 3], "year": [2001, 2001, 2005, 2005, 2010, 2010]}
    notes = load(shop({"item_id": IDS, "price": RANDOM[:, 0]} | brands)).notes
    assert "image.parquet: columns used: item_id (item), 'price', 'brand', 'year' (features)" in notes


@pytest.mark.parametrize(
    ("columns", "place"),
    [
        ({"f0": [1.0, None, 2.0, 3.0, 4.0, 5.0], "f1": RANDOM[:, 0]}, "row 2, column 'f0': found an empty cell"),
        (
            {"f": [*RANDOM[:4].tolist(), [1.0, None, 2.0], [1.0, 2.0, 3.0]]},
            r"row 5 \(item 'x4'\): found an empty entry",
        ),
    ],
)
def test_an_empty_cell_of_a_feature_table_is_named(columns, place, shop):
    with pytest.raises(InputError, match=f"image.parquet, {place}"):
        load(shop({"item_id": IDS} | columns))


def test_categories_of_parquet_are_text(shop):
    source = shop(COLUMNS | {"item_id": pl.Series(IDS).cast(pl.Categorical)})
    times = pl.Series(["2024-05-31", "2024-06-01"] * 3).cast(pl.Enum(["2024-06-01", "2024-05-31"]))
    pl.DataFrame({"user": ["a"] * 6, "item": IDS, "time": times}).write_parquet(source / "interactions.parquet")
    (source / "interactions.csv").unlink()
    dataset = load(source, split=SplitSpec(by="last"))
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == (4, 1, 1)


def test_numbers_beside_a_column_of_lists_are_refused_or_ignored(shop):
    source = shop({"id": IDS, "f": RANDOM.tolist(), "rank": range(6)})
    with pytest.raises(InputError, match="--ignore-column"):
        load(source)
    assert load(source, ignore_columns=["rank"]).features["image"].shape == (6, 3)


FLAT = {f"{name}.json": json.dumps({"0": [item], "1": [2]}) for item, name in enumerate(("train", "val"))}
FLAT |= {"test.json": '{"0": [2]}'}


@pytest.mark.parametrize("source", ["", "train.json"])
def test_features_beside_flat_json_files_are_read(source, folder):
    shop = folder(FLAT | {"image_feat.npy": np.eye(3), "text_feat.npy": np.ones((3, 2))})
    folder({"val.json": '{"0": [1]}'})
    dataset = load(shop / source)
    assert set(dataset.features) == {"image", "text"}
    assert dataset.name == "shop"


@pytest.mark.parametrize("source", ["", "5-core", "5-core/train.json"])
@pytest.mark.parametrize("place", ["image_feat.npy", "5-core/image_feat.npy"])
def test_features_of_a_core_are_beside_it_or_in_it(source, place, folder):
    core = {f"5-core/{name}": text for name, text in FLAT.items()} | {"5-core/val.json": '{"0": [1]}'}
    dataset = load(folder(core | {place: np.eye(3)}) / source)
    assert set(dataset.features) == {"image"}
    assert dataset.name == "shop"


def test_features_in_two_places_are_refused(folder):
    core = {f"5-core/{name}": text for name, text in FLAT.items()} | {"5-core/val.json": '{"0": [1]}'}
    with pytest.raises(InputError, match=r"features in two folders: '5-core/a_feat.npy', 'b_feat.npy'"):
        load(folder(core | {"5-core/a_feat.npy": np.eye(3), "b_feat.npy": np.eye(3)}))


INTER = "user_id:token\titem_id:token\n" + "".join(f"a\t{identifier}\n" for identifier in IDS[:3])


def test_columns_of_numbers_in_atomic_files_are_features(folder):
    item = "item_id:token\ttitle:token_seq\timage:float_seq\nx0\tNo 0\t1 2.5\nx1\tNo 1\t\nx2\tNo 2\t3  -1e1\n"
    dataset = load(folder({"shop.inter": INTER, "shop.item": item}))
    np.testing.assert_array_equal(dataset.features["image"], [[1, 2.5], [2, -3.75], [3, -10]])
    assert dataset.present["image"].tolist() == [True, False, True]
    assert dataset.catalog is not None
    assert dataset.catalog.columns == ["item_id", "title"]


@pytest.mark.parametrize("header", ["iid:token\titem_emb:float_seq", "item_emb:float_seq\titem_id:token"])
def test_embedding_files_are_features(header, folder):
    rows = [("x0", "1 0"), ("x1", "0 1"), ("x2", "2 2")]
    lines = ["\t".join(row if header.startswith("iid") else row[::-1]) for row in rows]
    source = folder({"shop.inter": INTER, "shop.itememb": "\n".join([header, *lines]) + "\n"})
    np.testing.assert_array_equal(load(source).features["item_emb"], [[1, 0], [0, 1], [2, 2]])
    assert not load(source, modalities=[]).features


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("1 2", "1 2 3", "1 2"), r"line 3, column 'f': found '1 2 3'; expected 2 numbers"),
        (("1 2", "1 two", "1 2"), "line 3, column 'f': found '1 two'"),
        (("", "", ""), "only empty cells"),
        (("1 2", "nan 1", "1 2"), "nan; expected a number within"),
        (("1,2", "1,2", "1,2"), "line 2, column 'f': found '1,2'"),
    ],
)
def test_cells_that_are_no_numbers_are_refused(cells, message, folder):
    rows = "".join(f"{identifier}\t{cell}\n" for identifier, cell in zip(IDS, cells, strict=False))
    with pytest.raises(InputError, match=message):
        load(folder({"shop.inter": INTER, "shop.item": f"item_id:token\tf:float_seq\n{rows}"}))


def test_one_modality_in_a_column_and_a_file_is_refused(folder):
    item = "item_id:token\timage:float_seq\nx0\t1\n"
    source = folder({"shop.inter": INTER, "shop.item": item, "features/image.npz": {"ids": [], "features": []}})
    with pytest.raises(InputError, match=r"2 files for one purpose: 'shop.item', 'features/image.npz'"):
        load(source)


TABLE = {"interactions.csv": INTERACTIONS}
MMREC = {"shop.inter": "userID\titemID\tx_label\n0\t0\t0\n0\t2\t1\n1\t1\t2\n"}
ATOMIC = {"shop.inter": INTER}
UNREAD = [
    (TABLE, "image.npy"),
    (TABLE, "image_feat.npy"),
    (TABLE, "features/image.pt"),
    (TABLE, "features/image.NPY"),
    (TABLE, "features/alone.ids.txt"),
    (TABLE, "embeddings/image.npz"),
    (MMREC, "image.npy"),
    (MMREC, "image_feat.npz"),
    (MMREC, "image_feat.npy.gz"),
    (MMREC, "features/image.npz"),
    (ATOMIC, "image_feat.npy"),
    (ATOMIC, "shop.user"),
    (ATOMIC, "shop.useremb"),
    (ATOMIC, "other.itememb"),
    (TABLE, "features/clip/large/image.npy"),
    (FLAT, "image_feat.pkl"),
    (FLAT, "features/image.npz"),
    (FLAT, "train_mat"),
]


@pytest.mark.parametrize(("files", "name"), UNREAD)
def test_files_that_a_layout_does_not_read_are_noted(files, name, folder):
    source = folder(files | {name: "uid:token\temb:float_seq\n1\t1 2\n"})
    if files is FLAT:
        folder({"val.json": '{"0": [1]}'})
    assert any(name in note and "not read" in note for note in load(source).notes)


def test_files_that_are_read_or_left_out_on_request_are_not_noted(folder):
    features = {"ids": np.array(IDS), "features": RANDOM}
    files = {"items.csv": "item\n" + "\n".join(IDS), "users.csv": "user\na\n", "features/image.npz": features}
    files |= {"features/text.npy": RANDOM, "features/text.ids.txt": "\n".join(IDS)}
    source = folder(TABLE | files)
    for modalities in (None, ["image"], []):
        assert not any("not read" in note for note in load(source, modalities=modalities).notes)


@pytest.mark.parametrize("text", ['["x0", "\\ud800"]', '["x0", "x\\u0000"]', '["x0", ""]', "[1e400]", "[[[["])
def test_ids_that_are_no_text_are_refused_in_safetensors(text, folder):
    source = folder(TABLE | {"features/readme": ""})
    tensors = {"features": torch.ones(2, 2)}
    save_file(tensors, source / "features" / "image.safetensors", {"ids": text})
    with pytest.raises(InputError):
        load(source)


def test_ids_with_half_a_surrogate_pair_are_refused_in_npz(folder):
    ids = np.array([ord("x"), 0xD800], np.uint32).view("U1")
    source = folder(TABLE | {"features/image.npz": {"ids": ids, "features": np.ones((2, 2))}})
    with pytest.raises(InputError, match="surrogates not allowed"):
        load(source)


@pytest.mark.parametrize("quoted", ['"Bad', '"Bad seeds'])
def test_a_quotation_mark_in_tsv_swallows_no_lines(quoted, folder):
    rows = [f"u{i}\tx{i}\ttitle" for i in range(6)]
    rows[1] = f"u1\tx1\t{quoted}"
    rows[4] = 'u4\tx4\tend"'
    with pytest.raises(InputError, match="line 3"):
        load(folder({"interactions.tsv": "\n".join(["user\titem\ttitle", *rows]) + "\n"}))


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("text", ['"x" y "z"', '"x"y', '"x" ', '"x""y" z', '"x"\'y"'])
def test_text_after_a_quoted_part_is_refused_and_not_joined(text, ending, folder):
    separator = "," if ending == "csv" else "\t"
    rows = [("user", "title", "item"), ("a", "fine", "x"), ("b", text, "y"), ("c", '"fine, "" too"', "z")]
    source = folder({f"interactions.{ending}": "".join(f"{separator.join(row)}\n" for row in rows)})
    with pytest.raises(InputError, match="line 3: found a record that cannot be parsed"):
        load(source)


@pytest.mark.parametrize("text", ['"a,"" b"', 'say "hi"', '""', '"a"""', '""""', '","', '"a\r\nb"', "'"])
def test_well_formed_quotation_marks_are_read(text, folder):
    source = folder({"interactions.csv": f"user,title,item\na,{text},x\nb,fine,y\nc,{text},z"})
    assert load(source).items.ids.to_list() == ["x", "y", "z"]


def test_line_breaks_in_quoted_fields_of_csv_are_counted(folder):
    dataset = load(folder({"interactions.csv": 'user,item,note\na,x,"two\nlines"\nb,x,one\n'}))
    assert "interactions.csv: 1 fields contain line breaks" in dataset.notes


def test_arrays_beside_ids_and_features_are_noted(folder):
    arrays = {"ids": np.array(IDS), "features": RANDOM, "raw": RANDOM}
    source = folder(TABLE | {"features/image.npz": arrays})
    save_file(
        {"features": torch.ones(6, 2), "mean": torch.ones(2)},
        source / "features" / "text.safetensors",
        {"ids": json.dumps(IDS)},
    )
    notes = load(source).notes
    assert "image.npz: arrays not used: 'raw'" in notes
    assert "text.safetensors: tensors not used: 'mean'" in notes


@pytest.mark.parametrize(
    ("train", "found"),
    [('{"0": [0], "0": [1]}', "user '0' twice"), ('{"00": [0]}', "user '00'"), ('{"²": [0]}', "user '²'")],
)
def test_users_of_json_files_are_plain_numbers_and_come_once(train, found, folder):
    with pytest.raises(InputError, match=found):
        load(folder(FLAT | {"train.json": train}))


def test_items_beyond_the_feature_rows_are_refused_or_dropped_and_counted(folder):
    source = folder(MMREC | {"image_feat.npy": np.eye(2)})
    with pytest.raises(InputError, match="--unknown-items drop"):
        load(source)
    dataset = load(source, unknown_items="drop")
    assert len(dataset.items) == 2
    assert "1 interactions with items beyond the rows of image_feat.npy were left out" in dataset.notes


@pytest.mark.parametrize("kind", ["FLOAT_SEQ", " float_seq"])
def test_a_type_in_a_header_may_have_capitals_and_blanks(kind, folder):
    inter = "user_id:token\titem_id:token\n" + "".join(f"a\t{identifier}\n" for identifier in IDS)
    rows = "".join(f"{identifier}\t1 {number}\n" for number, identifier in enumerate(IDS))
    source = folder({"s.inter": inter, "s.item": f"item_id:token\timage:{kind}\n{rows}"})
    assert load(source).features["image"].shape == (6, 2)
    (source / "s.item").rename(source / "s.emb")
    assert load(source).features["image"].shape == (6, 2)


def test_a_feature_file_without_a_name_is_not_read(folder):
    source = folder({"s.inter": "userID\titemID\n0\t0\n0\t1\n"})
    np.save(source / "_feat.npy", np.ones((2, 3)))
    dataset = load(source)
    assert not dataset.features
    assert any(note.startswith("_feat.npy: not read") for note in dataset.notes)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "\u202eabc"])
def test_a_modality_that_cannot_be_printed_is_refused(name, folder):
    source = folder({"interactions.csv": INTERACTIONS, "features/readme": ""})
    np.savez(source / "features" / f"{name}.npz", ids=np.array(IDS), features=RANDOM)
    with pytest.raises(InputError, match="a file name without control characters"):
        load(source)


def test_an_archive_with_an_array_twice_is_refused(folder):
    source = folder({"interactions.csv": INTERACTIONS, "features/readme": ""})
    path = source / "features" / "image.npz"
    np.savez(path, ids=np.array(IDS), features=RANDOM)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("features.npy", archive.read("features.npy"))
    with pytest.raises(InputError, match="found two arrays 'features'"):
        load(source)


def test_ids_in_a_tensor_of_other_numbers_are_refused_and_not_cut_to_bytes(folder):
    source = folder({"interactions.csv": INTERACTIONS, "features/readme": ""})
    letters = torch.tensor(list(json.dumps(IDS).encode())) + 256
    path = source / "features" / "image.safetensors"
    save_file({"features": torch.tensor(RANDOM), "ids": letters}, path)
    with pytest.raises(InputError, match=r"found a tensor 'ids' of torch\.int64"):
        load(source)
