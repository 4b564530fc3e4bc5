import errno
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prismrec.data import RawData, RawFeatures, SplitSpec, build, load, write_mmrec, write_table
from prismrec.errors import InputError

# Ids with separators, quotation marks and digits, but without control characters.
IDS = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=5)


@st.composite
def datasets(draw):
    users = draw(st.lists(IDS, min_size=1, max_size=5, unique=True))
    items = draw(st.lists(IDS, min_size=1, max_size=6, unique=True))
    pairs = draw(st.sets(st.tuples(st.sampled_from(users), st.sampled_from(items)), min_size=1))
    table = pl.DataFrame(sorted(pairs), schema={"user": pl.String, "item": pl.String}, orient="row")
    features = {}
    for name in ("image", "text")[: draw(st.integers(0, 2))]:
        covered = sorted({table["item"][0], *draw(st.sets(st.sampled_from(items)))})
        values = draw(st.lists(st.floats(-9, 9, width=32), min_size=3 * len(covered), max_size=3 * len(covered)))
        features[name] = RawFeatures(table, pl.Series(covered), np.array(values, np.float32).reshape(-1, 3))
    catalog = pl.DataFrame({"item_id": items, "title": [f'"{item}", by\t{item}' for item in items]})
    raw = RawData(
        name="shop",
        path=None,
        pairs=table,
        features=features,
        users=pl.Series(users),
        items=pl.Series(items),
        catalog=draw(st.sampled_from([None, catalog])),
    )
    return build(raw, split=SplitSpec(ratios=(2, 1, 1), seed=draw(st.integers(0, 9))))


ROUND_TRIP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)


@ROUND_TRIP
@given(datasets())
def test_a_data_set_is_unchanged_after_a_round_trip_through_the_tabular_layout(tmp_path_factory, dataset):
    out = tmp_path_factory.mktemp("round") / "shop"
    write_table(dataset, out)
    again = load(out)
    assert again.fingerprint == dataset.fingerprint
    if dataset.catalog is not None:
        assert again.catalog is not None
        assert again.catalog.equals(dataset.catalog)


@ROUND_TRIP
@given(datasets())
def test_pairs_splits_and_features_are_unchanged_after_a_round_trip_through_the_mmrec_layout(tmp_path_factory, dataset):
    root = tmp_path_factory.mktemp("round")
    write_mmrec(dataset, root / "mmrec")
    write_table(load(root / "mmrec"), root / "table")
    again = load(root / "table")
    for name in ("train", "valid", "test"):
        before, after = getattr(dataset, name), getattr(again, name)
        np.testing.assert_array_equal(before.users, after.users)
        np.testing.assert_array_equal(before.items, after.items)
    assert dataset.features.keys() == again.features.keys()
    for name, values in dataset.features.items():
        np.testing.assert_array_equal(values, again.features[name])
    users = pl.read_csv(root / "mmrec" / "u_id_mapping.csv", separator="\t", infer_schema=False)
    assert users.columns == ["user_id", "userID"]
    assert users["user_id"].to_list() == dataset.users.ids.to_list()
    assert users["userID"].to_list() == [str(number) for number in range(len(dataset.users))]
    items = pl.read_csv(root / "mmrec" / "i_id_mapping.csv", separator="\t", infer_schema=False)
    assert items.columns == ["item_id", "itemID"]
    assert items["item_id"].to_list() == dataset.items.ids.to_list()
    assert items["itemID"].to_list() == [str(number) for number in range(len(dataset.items))]


@pytest.fixture
def dataset(folder):
    return load(folder({"interactions.csv": "user,item,split\na,x,train\nb,y,test\n"}))


@pytest.mark.parametrize("write", [write_table, write_mmrec])
def test_a_folder_that_is_not_empty_is_refused_and_unchanged(write, dataset, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    write(dataset, out)  # an empty folder is accepted
    before = sorted(path.name for path in out.iterdir())
    with pytest.raises(InputError, match="something already there"):
        write(dataset, out)
    assert sorted(path.name for path in out.iterdir()) == before


def test_a_full_disk_is_an_input_error_and_leaves_nothing(dataset, tmp_path, monkeypatch):
    def full_disk(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full_disk)
    features = {"image": np.ones((2, 1), np.float32)}
    dataset = replace(dataset, features=features, present={"image": np.ones(2, np.bool_)})
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError) as refusal:
        write_mmrec(dataset, tmp_path / "out")
    assert refusal.value.where == str(tmp_path / "out")
    assert refusal.value.found == "No space left on device"
    assert sorted(tmp_path.iterdir()) == before


def test_a_path_below_a_file_is_refused(dataset, tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(InputError, match="expected a folder that can be written") as refusal:
        write_table(dataset, tmp_path / "file" / "out")
    assert refusal.value.where == str(tmp_path / "file" / "out")


def test_a_catalog_with_lists_is_written_as_parquet(folder, tmp_path):
    source = folder({"interactions.csv": "user,item\na,x\n"})
    catalog = pl.DataFrame({"item_id": ["x"], "genres": [["drama", "war"]]})
    catalog.write_parquet(source / "items.parquet")
    write_table(load(source), tmp_path / "out")
    again = load(tmp_path / "out").catalog
    assert again is not None
    assert again.equals(catalog)
