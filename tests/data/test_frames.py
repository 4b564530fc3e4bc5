"""Data in memory: the same checks, notes and numbers as for files, whatever library holds them."""

import multiprocessing
import operator
import pickle
import re
from dataclasses import dataclass
from datetime import date
from enum import Enum

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch

import prismrec
from prismrec.data import ColumnNames, SplitSpec, load
from prismrec.errors import InputError

RNG = np.random.default_rng(0)
USERS = RNG.integers(0, 30, 400) * 10
ITEMS = RNG.integers(0, 20, 400) * 7
TIMES = np.arange(400)
CATALOG = {"item_id": np.arange(20) * 7, "title": [f"title {number}" for number in range(20)]}
MATRIX = RNG.normal(size=(20, 8)).astype(np.float32)
CLICKS = {"user": USERS, "item": ITEMS, "timestamp": TIMES}


class Capsules:
    """A table of a library that prismrec has never heard of."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


@pytest.fixture
def in_files(tmp_path):
    """The same data as files."""
    shop = tmp_path / "shop"
    (shop / "features").mkdir(parents=True)
    pl.DataFrame(CLICKS).write_csv(shop / "interactions.csv")
    pl.DataFrame(CATALOG).write_csv(shop / "items.csv")
    np.savez(shop / "features" / "image.npz", ids=CATALOG["item_id"], features=MATRIX)
    return shop


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame,
        pl.LazyFrame,
        pd.DataFrame,
        lambda columns: pd.DataFrame(columns).convert_dtypes(),
        pa.table,
        lambda columns: Capsules(pa.table(columns)),
        dict,
        lambda columns: {name: list(values) for name, values in columns.items()},
        lambda columns: {name: pd.Series(values) for name, values in columns.items()},
        lambda columns: {name: pa.array(values) for name, values in columns.items()},
        lambda columns: {name: values if name == "title" else torch.tensor(values) for name, values in columns.items()},
    ],
    ids=[
        "polars",
        "lazy",
        "pandas",
        "nullable",
        "pyarrow",
        "capsules",
        "arrays",
        "lists",
        "series",
        "arrow",
        "tensors",
    ],
)
def test_tables_of_every_library_are_the_data_set_in_the_files(table, in_files):
    split = SplitSpec(by="last")
    features = {"image": (CATALOG["item_id"], MATRIX)}
    dataset = prismrec.dataset(table(CLICKS), table(CATALOG), features, split=split)
    stored = load(in_files, split=split)
    assert dataset.fingerprint == stored.fingerprint
    assert dataset.catalog.equals(stored.catalog)
    assert dataset.items.ids_of([3]).to_list() == [21]


@pytest.mark.parametrize(
    "pairs",
    [
        list(zip(USERS, ITEMS, strict=True)),
        zip(USERS.tolist(), ITEMS.tolist(), strict=True),
        np.stack([USERS, ITEMS], axis=1),
        torch.tensor(np.stack([USERS, ITEMS], axis=1)),
    ],
    ids=["list", "iterator", "array", "tensor"],
)
def test_pairs_are_interactions(pairs):
    assert prismrec.dataset(pairs).fingerprint == prismrec.dataset(CLICKS).fingerprint


@pytest.mark.parametrize(
    "features",
    [
        MATRIX,
        torch.tensor(MATRIX, requires_grad=True),
        sp.csr_matrix(MATRIX),
        MATRIX.tolist(),
        (CATALOG["item_id"][::-1], MATRIX[::-1]),
        (pd.Series(CATALOG["item_id"]), torch.tensor(MATRIX).to_sparse()),
        pd.DataFrame(MATRIX).assign(item_id=CATALOG["item_id"]),
        {"item_id": CATALOG["item_id"], "features": MATRIX},
    ],
    ids=["array", "tensor", "sparse", "lists", "ids and array", "ids and tensor", "pandas", "dict"],
)
def test_features_of_every_library_are_aligned_with_the_items(features):
    dataset = prismrec.dataset(CLICKS, CATALOG, {"image": features})
    np.testing.assert_array_equal(dataset.features["image"], MATRIX)
    assert dataset.present["image"].all()


@pytest.mark.parametrize(
    "features",
    [np.float64, torch.from_numpy, pl.DataFrame, pd.DataFrame, sp.csr_array],
    ids=["array", "tensor", "polars", "pandas", "sparse"],
)
def test_numbers_beyond_float32_are_refused_as_they_are(features):
    values = MATRIX.astype(np.float64)
    values[1, 1] = -1e300
    given = features(values)
    if hasattr(given, "columns"):
        given = (CATALOG["item_id"], given.to_numpy())
    with pytest.raises(InputError, match=r"column 1: found -1e\+300; expected a number within ±3\.40e\+38"):
        prismrec.dataset(CLICKS, CATALOG, {"image": given})


@pytest.mark.parametrize("unit", ["Y", "M", "W", "D", "h", "m", "s", "ms", "us"])
@pytest.mark.parametrize("library", [np.asarray, pd.Series])
def test_times_of_every_resolution_are_taken(unit, library):
    times = library(np.arange(5).astype(f"M8[{unit}]"))
    clicks = {"user": [0] * 5, "item": [4, 3, 2, 1, 0], "time": times}
    assert prismrec.dataset(clicks, split=SplitSpec(by="last")).test.items.tolist() == [0]


def test_missing_times_and_masked_entries_are_named():
    nothing = np.array(["2020-01-01"] * 4 + ["NaT"], "M8[s]")
    with pytest.raises(InputError, match=r"row 4 \(from 0\), column 'time': found no timestamp"):
        prismrec.dataset({"user": range(5), "item": range(5), "time": nothing}, split=SplitSpec(by="last"))
    masked = np.ma.masked_array(MATRIX, mask=np.eye(*MATRIX.shape, dtype=bool))
    with pytest.raises(InputError, match=r"features\['image'\]: found masked entries"):
        prismrec.dataset(CLICKS, CATALOG, {"image": masked})
    with pytest.raises(InputError, match="found an empty user id"):
        prismrec.dataset({"user": np.ma.masked_array([1, 2], mask=[True, False]), "item": [1, 2]})


@pytest.mark.parametrize("nothing", [None, float("nan"), ""])
def test_rows_without_a_user_can_be_left_out(nothing):
    clicks = pd.DataFrame({"user": ["u", nothing, "v"], "item": [1, 2, 3]})
    with pytest.raises(InputError, match=r"row 1 .*empty user id.*where=\['user!='\]"):
        prismrec.dataset(clicks)
    data = prismrec.dataset(clicks, where=["user!="])
    assert data.users.ids_of(range(2)).to_list() == ["u", "v"]
    assert data.items.ids_of(range(len(data.items))).to_list() == [1, 3]


def test_bfloat16_features_become_float32():
    dataset = prismrec.dataset(CLICKS, CATALOG, {"image": torch.tensor(MATRIX).bfloat16()})
    np.testing.assert_allclose(dataset.features["image"], MATRIX, rtol=2**-8)


@pytest.mark.parametrize(
    "ids",
    [[17, 4, 9], ["17", "4", "9"], [("a", 1), ("b", 2), ("a", 2)], [date(2024, 1, 1), 3, "x"], [b"a", b"b", b"c"],
     [-1, 2**70, 0], [0.5, 1.5, 2.0]],
    ids=["integers", "text", "tuples", "mixed", "bytes", "large", "floats"],
)  # fmt: skip
def test_ids_of_any_kind_come_back_as_given(ids):
    pairs = [(user, item) for user in ids for item in ids if user != item or user == ids[0]]
    run = prismrec.train("most-popular", prismrec.dataset(pairs))
    assert set(run.users.ids_of([0, 1, 2])) == set(ids)
    table = run.recommend([ids[1]], k=3)
    assert table["user"].to_list() == [ids[1]]
    assert table["item"].to_list() == [ids[1]]  # the only item that the user lacks
    assert type(table["item"][0]) is type(ids[1])
    assert run.recommend(ids[1], k=3)["item"].to_list() == [ids[1]]


def test_integers_of_numpy_find_an_integer_id():
    assert prismrec.dataset(CLICKS).users.number(np.int64(10)) == 1


def test_an_id_of_another_type_is_refused_with_an_example():
    users = prismrec.dataset(CLICKS).users
    with pytest.raises(InputError, match=r"user id: found '10' \(str\); expected .* such as 0 \(int\)"):
        users.number("10")
    with pytest.raises(InputError, match=r"user id: found \[10\] \(list\); expected"):
        users.number([10])
    assert [10] not in users


def test_splits_are_tables_of_their_own_or_labels():
    parts = {"train": [(1, 1), (2, 2)], "valid": pd.DataFrame({"user": [1], "item": [2]}), "test": np.array([[2, 1]])}
    labelled = {"user": [1, 2, 1, 2], "item": [1, 2, 2, 1], "split": ["train", "train", "valid", "test"]}
    dataset = prismrec.dataset(parts)
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == (2, 1, 1)
    assert dataset.fingerprint == prismrec.dataset(labelled).fingerprint
    with pytest.raises(InputError, match="user '2' with item '1': found the same pair in train and test"):
        prismrec.dataset(parts | {"train": [(1, 1), (2, 1)]})


def test_conditions_columns_and_unknown_items_work_as_for_files():
    clicks = pd.DataFrame({"who": USERS, "what": ITEMS, "stars": TIMES % 5 + 1})
    names = ColumnNames(user="who", item="what", rating="stars")
    dataset = prismrec.dataset(
        clicks, CATALOG | {"item_id": CATALOG["item_id"][:20], "price": np.ones(20)}, columns=names, min_rating=4,
        where=["what!=7"], ignore_columns=["items:price"], name="ratings",
    )  # fmt: skip
    kept = {(u, i) for u, i, stars in clicks.itertuples(index=False) if stars >= 4 and i != 7}
    assert len(dataset.train) + len(dataset.valid) + len(dataset.test) == len(kept)
    assert dataset.catalog.columns == ["item_id", "title"]
    assert dataset.name == "ratings"
    assert any(note.startswith("interactions: ") and "do not meet what != 7" in note for note in dataset.notes)
    dropped = prismrec.dataset(CLICKS, [0, 7, 14], unknown_items="drop")
    assert dropped.items.ids_of([0, 1, 2]).to_list() == [0, 7, 14]
    assert any("items that items lacks were left out" in note for note in dropped.notes)


def test_a_sparse_matrix_is_a_data_set():
    matrix = sp.random(12, 9, 0.4, format="csr", random_state=1)
    matrix.data[0] = 0.0
    dataset = prismrec.from_csr(matrix, features={"image": np.eye(9)})
    pairs = np.concatenate([np.stack([s.users, s.items], 1) for s in (dataset.train, dataset.valid, dataset.test)])
    assert set(map(tuple, pairs)) == set(zip(*matrix.nonzero(), strict=True))
    assert dataset.users.number(11) == 11
    names = [f"item {9 - number}" for number in range(9)]
    named = prismrec.from_csr(matrix, {"sku": names, "title": names}, columns=ColumnNames(item="sku"), min_rating=0.5)
    assert named.items.ids.to_list() == sorted(names)
    assert len(named.train) + len(named.valid) + len(named.test) == (matrix.data >= 0.5).sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("clicks.csv",), r"interactions: found an object of type str; expected a table .*load reads files"),
        ((sp.eye(3),), "from_csr"),
        (([(1, 2), (3, 4, 5)],), r"interactions, row 1 \(from 0\): found \(3, 4, 5\); expected a pair"),
        (({"user": [1, 2], "item": [1]},), r"interactions\['item'\]: found 1 values; expected 2, as in 'user'"),
        (({"user": [1, None], "item": [1, 2]},), r"interactions, row 1 \(from 0\), column 'user': found an empty user"),
        ((pd.DataFrame({"user": [1, np.nan], "item": [1, 2]}),), r"row 1 \(from 0\), column 'user': found an empty"),
        ((pd.DataFrame({"user": [1, 2], "item": ["a", pd.NA]}),), r"row 1 \(from 0\), column 'item': found an empty"),
        (([(1, 2), ("1", 3)],), r"row 1 .*found user id '1' \(str\) beside 1 \(int\), which is the same as text"),
        (([([1], 2)],), r"row 0 .*found user id \[1\] \(list\); expected an id that is hashable"),
        (({"user": ["a\0"], "item": ["b"]},), "without NUL characters"),
        (({"user": ["\ud800"], "item": ["b"]},), r"interactions\['user'\]: found unreadable content"),
        ((CLICKS | {"label": TIMES % 2},), r"column 'label': .*columns=ColumnNames\(split='label'\) if it is the spl"),
        ((pd.DataFrame(columns=["user", "item"]),), "interactions: found no row"),
        ((pd.DataFrame([[1, 2, 3]], columns=["user", "item", "item"]),), "column 'item' twice"),
        ((CLICKS, CATALOG["item_id"][:5]), r"interactions, row \d+ \(from 0\): found item '\d+', one of 15 that items"),
        ((CLICKS, [*CATALOG["item_id"], 7]), r"items, row 20 \(from 0\), column 'item_id': found item '7' a second"),
        ((CLICKS, CATALOG | {"price": [object()] * 20}), r"items\['price'\]: found values of several types"),
        ((CLICKS, None, {"image": MATRIX}), r"features\['image'\]: found a matrix without ids"),
        ((CLICKS, CATALOG, {"image": MATRIX[:9]}), r"features\['image'\]: found 9 rows; expected 20 rows, one "),
        ((CLICKS, CATALOG, {"image": MATRIX[:, :0]}), r"features\['image'\]: found features of width 0"),
        ((CLICKS, CATALOG, {"image": MATRIX + 1j}), r"features\['image'\]: found an array of dtype complex"),
        ((CLICKS, CATALOG, {"image": [[1, 2], [3]] * 10}), r"features\['image'\]: found unreadable content"),
        ((CLICKS, CATALOG, {"image": np.full((20, 2), np.nan)}), r"image'\], row 0 \(item '0'\), column 0: found nan"),
        ((CLICKS, CATALOG, {"image": ([1, 1], MATRIX[:2])}), r"image'\], row 1 \(from 0\), .*found item '1' a sec"),
        ((CLICKS, CATALOG, {"image": ([1, 2], MATRIX[:2])}), r"found 2 items such as '1', none with an interaction"),
        ((CLICKS, CATALOG, {"image": (list(map(str, CATALOG["item_id"])), MATRIX)}), "which is the same as text"),
        ((CLICKS, CATALOG, {"image": None}), r"features\['image'\]: found None; expected a matrix"),
        ((CLICKS, CATALOG, {"image": ([1, 2, 3], MATRIX[:2])}), r"found 2 rows; expected 3 rows, one for each id"),
        ((CLICKS, CATALOG, {"a\nb": MATRIX}), r"features: found a modality called 'a\\nb'"),
        ((CLICKS, CATALOG, {"\ud800": MATRIX}), "features: found a modality called"),
        ((pd.DataFrame(CLICKS).set_index(["user", "item", "timestamp"]),), "found no column, only a row index"),
        (({"user": USERS, "item": ITEMS, "split": [0, "test"] * 200},), r"column 'split': found type Object"),
        ((CLICKS, CATALOG, {"a/b": MATRIX}), "features: found a modality called 'a/b'"),
        ((CLICKS, CATALOG, MATRIX), "features: found an object of type ndarray"),
        ((CLICKS, CATALOG, [MATRIX]), "features: found an object of type list; expected a dict"),
        ((CLICKS, None, None, []), "users: found no row"),
    ],
)  # fmt: skip
def test_errors_name_the_parameter_and_the_place(arguments, message):
    with pytest.raises(InputError) as refusal:
        prismrec.dataset(*arguments)
    assert re.search(message, str(refusal.value)), refusal.value
    assert not re.search(r"(^|[ (])--[a-z]", str(refusal.value)), "an option of the command line"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ignore_columns": ["price"]}, "ignore_columns: found 'price'"),
        ({"ignore_columns": "time"}, "ignore_columns: found 'time'; expected a list"),
        ({"unknown_items": "keep"}, "unknown_items: found 'keep'"),
        ({"where": ["stars>3"]}, "a column 'stars', which a condition names$"),
        ({"split": SplitSpec(by="label")}, "interactions: found no split column"),
        ({"k_core": 99}, "no 99-core among"),
    ],
)
def test_parameters_are_checked_as_those_of_load(parameters, message):
    with pytest.raises(InputError, match=message):
        prismrec.dataset(CLICKS, **parameters)


@pytest.mark.parametrize(
    ("matrix", "parameters", "message"),
    [
        (np.eye(3), {}, "matrix: found an object of type ndarray; expected a sparse matrix"),
        (sp.csr_matrix(np.diag([1, np.nan, 1])), {}, "matrix: found an entry that is NaN"),
        (sp.coo_array(np.ones(4)), {}, "matrix: found a matrix of float64 with 1 dimensions"),
        (sp.csr_matrix(np.eye(3) * 1j), {}, "matrix: found a matrix of complex128"),
        (sp.csr_matrix(np.eye(3)), {"users": ["a"]}, r"users: found 1 ids; expected 3, for a matrix of shape \(3, 3\)"),
        (sp.csr_matrix(np.eye(3)), {"items": range(4)}, "items: found 4 ids"),
        (sp.csr_matrix((3, 3)), {}, r"matrix: found no entry that is not 0 \(shape \(3, 3\)\)"),
    ],
)
def test_a_sparse_matrix_is_checked(matrix, parameters, message):
    with pytest.raises(InputError, match=message):
        prismrec.from_csr(matrix, **parameters)


def test_the_data_set_does_not_change_with_the_arrays_it_was_made_of():
    matrix = MATRIX.copy()
    dataset = prismrec.dataset(CLICKS, CATALOG, {"image": matrix})
    matrix[:] = 0
    np.testing.assert_array_equal(dataset.features["image"], MATRIX)


@pytest.mark.parametrize("ids", [USERS, [(int(user), "x") for user in USERS]], ids=["integers", "tuples"])
def test_data_sets_and_runs_go_to_worker_processes(ids):
    dataset = prismrec.dataset({"user": ids, "item": ITEMS}, CATALOG, {"image": MATRIX})
    run = prismrec.train("VBPR", dataset, settings=prismrec.Settings(epochs=1, device="cpu"))
    user = dataset.users.id(4)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(operator.attrgetter("fingerprint"), (dataset,)) == dataset.fingerprint
        recommended = pool.apply(operator.methodcaller("recommend", user, 3), (run,))
    assert recommended["item"].to_list() == run.recommend(user, 3)["item"].to_list()
    restored = pickle.loads(pickle.dumps(dataset))
    with pytest.raises(TypeError):
        restored.features["image"] = MATRIX


def test_a_run_stores_ids_as_text(tmp_path):
    run = prismrec.train("most-popular", prismrec.dataset(CLICKS), out=tmp_path / "run")
    stored = prismrec.Run.load(tmp_path / "run")
    assert stored.recommend("70", 3)["item"].to_list() == [str(item) for item in run.recommend(70, 3)["item"]]
    with pytest.raises(InputError, match=r"user id: found 70 \(int\); expected .* such as '0' \(str\)"):
        stored.recommend(70)


def test_recommendations_and_embeddings_leave_for_other_libraries():
    run = prismrec.train("MF-BPR", prismrec.dataset(CLICKS, CATALOG), settings=prismrec.Settings(epochs=1))
    frame = run.recommend(k=2).to_pandas()
    assert set(frame["item"]) <= set(CATALOG["item_id"])
    assert frame.merge(pd.DataFrame(CATALOG), left_on="item", right_on="item_id").shape[0] == len(frame)
    assert run.embeddings.items.numpy().shape == (20, 64)


def test_structured_arrays_of_numpy_are_tables():
    clicks = np.array(list(zip(USERS, ITEMS, strict=True)), dtype=[("user", "i8"), ("item", "i8")])
    assert prismrec.dataset(clicks).fingerprint == prismrec.dataset({"user": USERS, "item": ITEMS}).fingerprint


@pytest.mark.parametrize("ids", [pa.array, lambda ids: pa.chunked_array([ids[:3], ids[3:]]), pd.Index, pd.Series])
def test_ids_alone_are_a_column_of_any_library(ids):
    assert len(prismrec.dataset(CLICKS, ids(CATALOG["item_id"])).items) == 20


@pytest.mark.parametrize("sparse", [sp.csr_array, sp.csc_array, sp.coo_array, sp.dok_array, sp.lil_array, sp.bsr_array])
def test_sparse_features_of_every_kind_are_matrices(sparse):
    data = prismrec.dataset(CLICKS, CATALOG, {"image": sparse(MATRIX)})
    np.testing.assert_array_equal(data.features["image"], MATRIX)


@dataclass(frozen=True)
class Key:
    """An id that polars would take for a row of numbers."""

    number: int


def test_objects_that_polars_would_convert_stay_ids():
    data = prismrec.dataset({"user": [Key(int(user)) for user in USERS], "item": ITEMS})
    assert data.users.id(data.users.number(Key(40))) == Key(40)


def test_members_of_an_enum_are_refused_as_polars_takes_their_values():
    color = Enum("Color", "RED BLUE")
    with pytest.raises(InputError, match=r"interactions\['user'\]: found members of 'Color'"):
        prismrec.dataset({"user": [color.RED, color.BLUE] * 200, "item": ITEMS})


@pytest.mark.parametrize("array", ["indices", "indptr"])
@pytest.mark.parametrize("value", [-3, 99])
def test_numbers_beyond_the_shape_of_a_sparse_matrix_are_refused(array, value):
    matrix = sp.csr_array(MATRIX)
    getattr(matrix, array)[1] = value
    with pytest.raises(InputError, match="matrix: found unreadable content"):
        prismrec.from_csr(matrix)
    with pytest.raises(InputError, match=r"features\['image'\]: found unreadable content"):
        prismrec.dataset(CLICKS, CATALOG, {"image": matrix})
