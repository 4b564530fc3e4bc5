import numpy as np
import polars as pl
import pytest

from prismrec.data import ColumnNames, SplitSpec, load
from prismrec.errors import InputError, ParameterError

LABELLED = "user,item,split\nb,10,train\na,9,train\na,10,valid\nb,9,test\n"


def pairs_of(dataset):
    """All pairs as ids, with their split."""
    found = set()
    for name in ("train", "valid", "test"):
        split = getattr(dataset, name)
        users, items = dataset.users.ids_of(split.users), dataset.items.ids_of(split.items)
        found |= {(user, item, name) for user, item in zip(users, items, strict=True)}
    return found


def test_labels_in_the_file_are_the_split(folder):
    dataset = load(folder({"interactions.csv": LABELLED}))
    assert pairs_of(dataset) == {("b", "10", "train"), ("a", "9", "train"), ("a", "10", "valid"), ("b", "9", "test")}
    assert dataset.name == "shop"


def test_whole_numbers_are_numbered_as_numbers_and_other_ids_as_text(folder):
    dataset = load(folder({"interactions.csv": "user,item\nu10,10\nu9,9\nu1,100\n"}))
    assert dataset.items.ids.to_list() == ["9", "10", "100"]
    assert dataset.users.ids.to_list() == ["u1", "u10", "u9"]


def test_a_leading_zero_makes_ids_text(folder):
    dataset = load(folder({"interactions.csv": "user,item\n1,7\n1,007\n1,10\n"}))
    assert dataset.items.ids.to_list() == ["007", "10", "7"]


def test_without_labels_the_split_is_at_random_within_each_user_and_says_so(folder):
    rows = "".join(f"{user},{item}\n" for user in range(5) for item in range(10))
    source = folder({"interactions.csv": f"user,item\n{rows}"})
    dataset = load(source)
    assert (dataset.train.user_degrees == 8).all()
    assert (dataset.valid.user_degrees == 1).all()
    assert "split: at random within each user, 8:1:1, seed 0" in dataset.notes
    assert dataset.fingerprint == load(source, split=SplitSpec(by="user", seed=0)).fingerprint
    assert dataset.fingerprint != load(source, split=SplitSpec(by="user", seed=1)).fingerprint


@pytest.mark.parametrize("by", ["user", "overall", "last", "time", "cold-items"])
def test_the_order_of_rows_does_not_matter(by, folder):
    rows = [f"{user},{item},{(user * 7 + item * 13) % 29}\n" for user in range(6) for item in range(0, 12, user + 1)]
    source = folder({"interactions.csv": "user,item,time\n" + "".join(rows)})
    spec = SplitSpec(by=by)
    first = load(source, split=spec)
    folder({"interactions.csv": "user,item,time\n" + "".join(reversed(rows))})
    assert load(source, split=spec).fingerprint == first.fingerprint


def test_duplicates_are_kept_once_with_the_earliest_time_and_counted(folder):
    source = folder({"interactions.csv": "user,item,time\na,x,5\na,y,3\na,z,4\na,x,1\na,x,9\n"})
    dataset = load(source, split=SplitSpec(by="last"))
    assert pairs_of(dataset) == {("a", "x", "train"), ("a", "y", "valid"), ("a", "z", "test")}
    assert "2 duplicate interactions: each pair was kept once" in dataset.notes


def test_setting_labels_aside_is_noted(folder):
    dataset = load(folder({"interactions.csv": LABELLED}), split=SplitSpec(by="overall"))
    assert "the file's own split labels were set aside" in dataset.notes


@pytest.mark.parametrize(("fill", "filled"), [("mean", [2.0, 5.0]), ("zero", [0.0, 0.0])])
def test_items_without_a_modality_are_filled_and_counted(fill, filled, folder):
    # z first: rows belong to ids, not to positions.
    features = {"ids": np.array(["z", "x"]), "features": np.array([[1, 4], [3, 6]], np.float16)}
    source = folder({"interactions.csv": "user,item\na,x\na,y\nb,z\n", "features/image.npz": features})
    dataset = load(source, fill=fill)
    assert dataset.features["image"].dtype == np.float32
    np.testing.assert_array_equal(dataset.features["image"], [[3, 6], filled, [1, 4]])
    np.testing.assert_array_equal(dataset.present["image"], [True, False, True])
    assert any(note.startswith("image: 1 of 3 items lack it") for note in dataset.notes)


def test_items_of_every_feature_file_exist_without_an_interaction(folder):
    def image(*ids):
        return {"ids": np.array(ids), "features": np.ones((len(ids), 2))}

    files = {"features/a.npz": image("x", "cold", "only-a"), "features/b.npz": image("cold", "x")}
    dataset = load(folder({"interactions.csv": "user,item\na,x\n"} | files))
    assert dataset.items.ids.to_list() == ["cold", "x"]
    assert any(note.startswith("a: 1 rows belong to no item") for note in dataset.notes)


def test_the_catalog_follows_the_item_numbers_and_keeps_cold_items(folder):
    items = "item_id,title\n10,ten\n2,two\n33,cold\n"
    dataset = load(folder({"interactions.csv": "user,item\na,2\na,10\n", "items.csv": items}))
    assert dataset.items.ids.to_list() == ["2", "10", "33"]
    assert dataset.catalog is not None
    assert dataset.catalog.to_dict(as_series=False) == {
        "item_id": ["2", "10", "33"],
        "title": ["two", "ten", "cold"],
    }


def test_a_k_core_leaves_out_everything_outside_it(folder):
    rows = "".join(f"{user},{item}\n" for user in "abc" for item in "xyz") + "d,x\na,w\n"
    features = {"ids": np.array(list("wxyz")), "features": np.arange(8.0).reshape(4, 2)}
    files = {"interactions.csv": "user,item\n" + rows, "items.csv": "id,item\nw,w\nx,x\ny,y\nz,z\n"}
    source = folder(files | {"features/image.npz": features})
    dataset = load(source, k_core=3)
    assert dataset.users.ids.to_list() == ["a", "b", "c"]
    assert dataset.items.ids.to_list() == ["x", "y", "z"]
    assert len(dataset.train) + len(dataset.valid) + len(dataset.test) == 9
    np.testing.assert_array_equal(dataset.features["image"], [[2, 3], [4, 5], [6, 7]])
    assert "3-core: 1 users, 1 items and 2 pairs left out" in dataset.notes
    with pytest.raises(InputError, match=r"no 4-core among 11 pairs"):
        load(source, k_core=4)


def test_named_columns_are_used(folder):
    source = folder({"interactions.csv": "who,what,item,user\na,x,1,2\nb,y,3,4\n"})
    dataset = load(source, columns=ColumnNames(user="who", item="what"))
    assert dataset.users.ids.to_list() == ["a", "b"]
    assert dataset.items.ids.to_list() == ["x", "y"]
    assert "interactions.csv: columns not used: item, user" in dataset.notes


def test_a_named_column_that_is_missing_is_refused(folder, refused):
    source = folder({"interactions.csv": "who,item\na,x\n"})
    where = "interactions.csv, line 1"
    columns = ColumnNames(user="whom")
    refused(source, where, "'who', 'item'", "a column 'whom'", "--user-column", "whom", columns=columns)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"format": "xml"}, "format: found 'xml'; expected one of: table"),
        ({"fill": "median"}, "fill: found 'median'; expected one of: mean, zero"),
        ({"k_core": -1}, "k_core: found -1"),
        ({"npy_order": "users"}, "npy_order: found 'users'"),
        ({"unknown_items": "keep"}, "unknown_items: found 'keep'; expected one of: refuse, drop"),
        ({"memory_limit": 0}, "memory_limit: found 0"),
        ({"min_rating": float("nan")}, "min_rating: found nan"),
        ({"where": "n=1"}, r"where: found 'n=1'; expected a list such as \['n=1'\]"),
        ({"modalities": "image"}, "modalities: found 'image'; expected a list"),
        ({"ignore_columns": "label"}, "ignore_columns: found 'label'; expected a list"),
        ({"where": ["rating"]}, "where: found 'rating'; expected a condition such as"),
        ({"where": ["rating>high"]}, "where: found 'rating>high'; expected a number after >"),
        ({"ignore_columns": ["ranks"]}, "ignore_columns: found 'ranks'; expected columns of a table"),
    ],
)
def test_impossible_values_of_parameters_are_refused(parameters, message, folder):
    with pytest.raises(ParameterError, match=message):
        load(folder({"interactions.csv": LABELLED}), **parameters)


def test_users_and_items_without_interactions_keep_their_numbers(folder):
    inter = "userID\titemID\tx_label\n2\t0\t0\n0\t1\t1\n"
    dataset = load(folder({"shop.inter": inter, "text_feat.npy": np.eye(5)}))
    assert dataset.users.ids.to_list() == ["0", "1", "2"]
    assert dataset.items.ids.to_list() == ["0", "1", "2", "3", "4"]
    np.testing.assert_array_equal(dataset.features["text"], np.eye(5))


def test_what_is_left_unread_or_looks_alike_is_noted(folder):
    files = {"interactions.csv": "user, item\na, x\n", "image.npy": np.ones((1, 2)), "features/text.csv": "x,1\n"}
    notes = load(folder(files)).notes
    assert any(note.startswith("image.npy: not read") for note in notes)
    assert any(note.startswith("features/text.csv: not read") for note in notes)
    assert "1 item id with a space at the beginning or end, such as ' x'" in notes
    assert "no test pair" in notes


def test_tiktok_reads_as_published(real_data):
    dataset = load(real_data / "tiktok")
    assert (len(dataset.users), len(dataset.items)) == (9308, 6710)
    assert [len(split) for split in (dataset.train, dataset.valid, dataset.test)] == [59541, 3051, 6130]
    assert (dataset.train.user_degrees == 0).sum() == 10
    stored = np.load(real_data / "tiktok" / "image_feat.npy")
    np.testing.assert_array_equal(dataset.features["image"], stored.astype(np.float32))


def test_movielens_splits_every_pair_once(real_data):
    dataset = load(real_data / "ml1m")
    keys = np.concatenate(
        [split.users.astype(np.int64) * 3260 + split.items for split in (dataset.train, dataset.valid, dataset.test)]
    )
    assert len(keys) == 998_539 == len(np.unique(keys))
    assert (dataset.valid.user_degrees > 0).all()
    titles = pl.read_csv(real_data / "ml1m" / "items.csv", infer_schema=False).select("item_id", "title")
    assert dataset.catalog is not None
    joined = dataset.catalog.select("item_id", title_here="title").join(titles, on="item_id")
    assert len(joined) == 3260
    assert (joined["title"] == joined["title_here"]).all()
