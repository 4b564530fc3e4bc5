import polars as pl
import pytest

from prismrec.data import load


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_every_kind_of_table_reads_the_same(ending, folder):
    source = folder({"features/none": ""})
    interactions = pl.DataFrame({"user": ["a", "a", "b"], "item": [1, 20, 3], "split": ["train", "test", "train"]})
    items = pl.DataFrame({"id_of": [1, 2, 3, 20], "item": [20, 3, 2, 1], "title": ["twenty", "three", "two", "one"]})
    for name, table in (("interactions", interactions), ("items", items)):
        path = source / f"{name}.{ending}"
        if ending == "parquet":
            table.write_parquet(path)
        else:
            table.write_csv(path, separator="," if ending == "csv" else "\t")
    dataset = load(source)
    assert dataset.items.ids.to_list() == ["1", "2", "3", "20"]
    assert dataset.items.ids_of(dataset.test.items).to_list() == ["20"]
    assert dataset.catalog is not None
    assert dataset.catalog["title"].to_list() == ["one", "two", "three", "twenty"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-20", ""], [1, -20, None]),
        (["19.90", "5", "0.5"], [19.9, 5.0, 0.5]),
        (["007", "8", "9"], ["007", "8", "9"]),
        (["1e3", "2", "3"], ["1e3", "2", "3"]),
        (["9" * 19, "2", "3"], ["9" * 19, "2", "3"]),
        (["true", "false", "true"], ["true", "false", "true"]),
    ],
)
def test_columns_of_numbers_in_a_text_file_are_numbers_and_codes_stay_text(cells, expected, folder):
    rows = "".join(f"{number},{cell}\n" for number, cell in enumerate(cells))
    dataset = load(folder({"interactions.csv": "user,item\na,0\nb,1\nc,2\n", "items.csv": f"item,x\n{rows}"}))
    assert dataset.catalog["x"].to_list() == expected
    assert dataset.catalog["item_id"].to_list() == ["0", "1", "2"]


def test_text_in_a_parquet_file_stays_text(folder):
    source = folder({"interactions.csv": "user,item\na,0\nb,1\n"})
    pl.DataFrame({"item": ["0", "1"], "zip": ["10115", "20095"]}).write_parquet(source / "items.parquet")
    assert load(source).catalog["zip"].to_list() == ["10115", "20095"]


def test_listed_users_exist_without_an_interaction(folder):
    dataset = load(folder({"interactions.csv": "user,item\nb,x\n", "users.csv": "user,age\nb,7\nidle,9\n"}))
    assert dataset.users.ids.to_list() == ["b", "idle"]


def test_a_user_that_the_user_table_lacks_is_refused(folder, refused):
    source = folder({"interactions.csv": "user,item\nb,x\nc,x\n", "users.csv": "user\nb\n"})
    refused(source, "interactions.csv, line 3", "user 'c', one of 1 that users.csv lacks", "only users")


def test_an_item_table_without_ids_is_refused(folder, refused):
    source = folder({"interactions.csv": "user,item\nb,x\n", "items.csv": "title\nX\n"})
    refused(source, "items.csv, line 1", "columns 'title'", "--item-column")
