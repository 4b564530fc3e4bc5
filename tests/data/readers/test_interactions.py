"""Which rows are interactions, and which split they belong to."""

import numpy as np
import polars as pl
import pytest

from prismrec.data import ColumnNames, SplitSpec, load
from prismrec.errors import InputError, ParameterError

CLICKS = "user,item,label\n" + "".join(f"u{i % 5},x{i % 7},{i % 2}\n" for i in range(20))


def counts(dataset):
    return [len(dataset.train), len(dataset.valid), len(dataset.test)]


@pytest.mark.parametrize(
    "values",
    [
        ["0", "1"],
        ["1"],
        ["0", "1", "2"],
        ["0.0", "1.0"],
        ["true", "false"],
        ["1", "5"],
        ["-1", "1"],
        [" 0", " 1"],
        ["yes", "no"],
        ["pos", "neg"],
        ["1", "NULL"],
        ["Train", "Valid", "Test"],
        ["train", "val", "test"],
    ],
    ids=",".join,
)
@pytest.mark.parametrize("name", ["label", "Label", "LABEL"])
def test_a_label_that_is_no_split_is_refused_until_the_user_says_what_it_is(values, name, folder):
    rows = "".join(f"u{i},x{i},{values[i % len(values)]}\n" for i in range(12))
    source = folder({"interactions.csv": f"user,item,{name}\n{rows}"})
    with pytest.raises(InputError, match="may be clicks or a split") as refusal:
        load(source)
    for option in ("--split-column", "--where", "--ignore-column"):
        assert option in refusal.value.expected
    assert len(load(source, ignore_columns=[name]).items) == 12


@pytest.mark.parametrize("split", [SplitSpec(by="user"), SplitSpec(by="last")])
def test_a_label_that_nothing_uses_is_noted_with_what_it_holds(split, folder):
    source = folder({"interactions.csv": "user,item,label,time\na,x,1,1\na,y,0,2\nb,x,1,3\n"})
    notes = load(source, split=split).notes
    assert "interactions.csv: column 'label' holds '0', '1', but every row counts as an interaction" in notes


def test_clicks_in_the_files_of_a_split_are_noted(folder):
    parts = {"train.csv": "user,item,label\na,x,1\na,y,0\n", "test.csv": "user,item,label\na,z,1\n"}
    notes = load(folder(parts)).notes
    assert "train.csv: column 'label' holds '0', '1', but every row counts as an interaction" in notes


def test_clicks_can_be_chosen_counted_or_taken_for_a_split(folder):
    source = folder({"interactions.csv": CLICKS})
    clicked = load(source, where=["label=1"])
    assert sum(counts(clicked)) == 10
    assert "interactions.csv: 10 of 20 rows do not meet label = 1 and were left out" in clicked.notes
    counted = load(source, ignore_columns=["label"])
    assert sum(counts(counted)) == 20
    assert "interactions.csv: columns ignored: label" in counted.notes
    assert counts(load(source, columns=ColumnNames(split="label"))) == [10, 10, 0]


@pytest.mark.parametrize("kind", [pl.Int64, pl.Float64, pl.Boolean])
def test_clicks_in_parquet_and_atomic_files_are_no_split_either(kind, folder):
    source = folder({"features/readme": ""})
    table = pl.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "label": pl.Series([0, 1]).cast(kind)})
    table.write_parquet(source / "interactions.parquet")
    with pytest.raises(InputError, match="may be clicks or a split"):
        load(source)
    atomic = folder({"log.inter": "user_id:token\titem_id:token\tlabel:float\na\tx\t0\nb\ty\t1\n"}) / "log.inter"
    with pytest.raises(InputError, match="may be clicks or a split"):
        load(atomic)
    assert len(load(atomic, where=["label=1"]).items) == 1


def test_a_label_of_split_names_is_the_split(folder):
    source = folder({"interactions.csv": "user,item,label\na,x,train\na,y,valid\nb,x,train\nb,y,test\n"})
    assert counts(load(source)) == [2, 1, 1]


def test_an_explicit_split_column_wins_over_a_label(folder):
    dataset = load(folder({"interactions.csv": "user,item,label,split\na,x,1,train\na,y,0,test\n"}))
    assert counts(dataset) == [1, 0, 1]
    assert "interactions.csv: columns not used: label" in dataset.notes


@pytest.mark.parametrize("name", ["rating", "Rating", "score", "stars"])
def test_a_least_rating_leaves_out_lower_ones_and_counts_them(name, folder):
    source = folder({"interactions.csv": f"user,item,{name}\na,x,5\na,y,3.5\nb,x,\nb,y,4\n"})
    dataset = load(source, min_rating=4)
    assert sum(counts(dataset)) == 2
    assert f"interactions.csv: 2 of 4 rows do not meet {name} >= 4 and were left out" in dataset.notes
    assert f"interactions.csv: columns used: {name} (condition), user (user), item (item)" in dataset.notes
    with pytest.raises(InputError, match="no row that meets the conditions"):
        load(source, min_rating=6)


def test_a_least_rating_needs_one_column_of_numbers(folder):
    with pytest.raises(InputError, match="--rating-column"):
        load(folder({"interactions.csv": "user,item,rating,score\na,x,5,4\n"}), min_rating=3)
    with pytest.raises(InputError, match="line 3, column 'rating': found 'good'; expected a number"):
        load(folder({"interactions.csv": "user,item,rating\na,x,5\nb,y,good\n"}), min_rating=3)
    source = folder({"interactions.csv": "user,item,points\na,x,5\nb,y,2\n"})
    assert len(load(source, min_rating=3, columns=ColumnNames(rating="points")).items) == 1


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        ("n=2", 1),
        ("n == 2", 1),
        ("n!=2", 2),
        ("n<2", 1),
        ("n <= 2", 2),
        ("n>2.5", 1),
        ("n>=1", 3),
        ("kind=buy", 2),
        ("kind!=buy", 1),
    ],
)
def test_conditions_compare_numbers_and_text(condition, left, folder):
    source = folder({"interactions.csv": "user,item,n,kind\na,x,1,buy\na,y,2,view\na,z,3,buy\n"})
    assert sum(counts(load(source, where=[condition]))) == left


def test_a_condition_on_a_missing_column_is_refused(folder):
    with pytest.raises(InputError, match="a column 'kind', which a condition names"):
        load(folder({"interactions.csv": "user,item\na,x\n"}), where=["kind=buy"])
    lists = {f"5-core/{name}.json": '{"0": [0]}' for name in ("train", "val", "test")}
    with pytest.raises(ParameterError, match="JSON files have none"):
        load(folder(lists) / "5-core" / "train.json", where=["kind=buy"])


def test_places_are_lines_of_the_file_also_after_rows_were_left_out(folder):
    source = folder({"interactions.csv": "user,item,n\na,x,0\na,x,1\na,y,1\n", "items.csv": "item\nx\n"})
    with pytest.raises(InputError, match=r"interactions.csv, line 4: found item 'y'"):
        load(source, where=["n=1"])


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_rows_without_an_id_or_a_time_can_be_left_out(ending, tmp_path):
    """Clicks of visitors without an account, and rows that an export has broken."""
    users = ["u", None, "u", "u", "u", "v"]
    times = ["2024-01-01", "2024-01-02", None, "2024-01-03", "2024-01-04", "now"]
    table = pl.DataFrame({"user": users, "item": list("abcdef"), "time": times})
    path = tmp_path / f"clicks{ending}"
    table.write_csv(path) if ending == ".csv" else table.write_parquet(path)
    by_time = {"split": SplitSpec(by="last")}
    with pytest.raises(InputError, match=r"an empty user id; .*\(--where 'user!='\) leaves out"):
        load(path, **by_time)
    with pytest.raises(InputError, match=r"no timestamp; .*\(--where 'time!='\) leaves out"):
        load(path, where=["user!="], **by_time)
    place = "line 7" if ending == ".csv" else "row 6"
    with pytest.raises(InputError, match=rf"{place}, column 'time': found timestamp 'now'"):
        load(path, where=["user!=", "time!="], **by_time)  # the line of the file, not of the rows that are left
    data = load(path, where=["user!=", "time!=", "time!=now"], **by_time)
    assert data.items.ids.to_list() == ["a", "d", "e"]
    assert any("1 of 6 rows do not meet user != '' and" in note for note in data.notes)


def test_unknown_items_are_refused_or_dropped_and_counted(folder):
    source = folder({"interactions.csv": "user,item\na,x\na,y\nb,y\nb,z\nb,x\n", "items.csv": "item\nx\n"})
    with pytest.raises(InputError, match="unknown_items='drop'"):
        load(source)
    dataset = load(source, unknown_items="drop")
    assert dataset.items.ids.to_list() == ["x"]
    assert "3 interactions with 2 items that items.csv lacks were left out" in dataset.notes
    with pytest.raises(InputError, match="none of the items"):
        load(folder({"items.csv": "item\nnone\n"}), unknown_items="drop")


PARTS = ("user,item\na,x\nb,y\na,y\n", "user,item\na,z\n", "user,item\nb,z\nb,x\n")


@pytest.mark.parametrize(
    "names",
    [
        ("train.csv", "valid.csv", "test.csv"),
        ("train.csv", "val.csv", "test.csv"),
        ("train.csv", "validation.csv", "test.csv"),
        ("shop.train.inter", "shop.valid.inter", "shop.test.inter"),
        ("shop.train.inter", "shop.val.inter", "shop.test.inter"),
    ],
    ids=",".join,
)
def test_one_file_for_each_split_is_read_as_the_split(names, folder):
    atomic = names[0].endswith(".inter")
    header = "user_id:token\titem_id:token"
    parts = [part.replace("user,item", header).replace(",", "\t") if atomic else part for part in PARTS]
    dataset = load(folder(dict(zip(names, parts, strict=True))))
    assert counts(dataset) == [3, 1, 2]
    assert any(note.startswith("split labels are the files: ") for note in dataset.notes)
    if atomic:
        assert dataset.name == "shop"


def test_row_numbers_may_come_in_one_file_for_each_split(folder):
    parts = {"s.train.inter": "userID\titemID\n0\t0\n1\t1\n", "s.test.inter": "userID\titemID\n0\t7\n"}
    dataset = load(folder(parts))
    assert counts(dataset) == [2, 0, 1]
    assert len(dataset.items) == 8
    folder({"s.test.inter": "userID\titemID\n0\tseven\n"})
    with pytest.raises(InputError, match=r"s.test.inter, line 2, column 'itemID': found 'seven'"):
        load(folder({}))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train.csv",), "only 'train.csv' of a split"),
        (("valid.csv", "test.csv"), "only 'valid.csv', 'test.csv' of a split"),
        (("train.csv", "valid.csv", "val.csv", "test.csv"), "2 files for one purpose: 'valid.csv', 'val.csv'"),
        (("train.csv", "train.tsv", "test.csv"), "2 files for one purpose: 'train.csv', 'train.tsv'"),
        (("interactions.csv", "train.csv", "test.csv"), "'interactions.csv', 'train.csv'"),
        (("a.train.inter", "a.test.inter", "b.inter"), "2 files for one purpose"),
        (("a.train.inter",), "only 'a.train.inter' of a split"),
    ],
)
def test_incomplete_and_ambiguous_splits_are_refused(names, message, folder):
    files = {name: "user_id:token\titem_id:token\na\tx\n" if ".inter" in name else PARTS[0] for name in names}
    with pytest.raises(InputError, match=message):
        load(folder(files))


def test_a_pair_in_two_files_of_a_split_is_refused_unless_labels_do_not_matter(folder):
    source = folder({"train.csv": "user,item\na,x\na,y\n", "test.csv": "user,item\na,x\n"})
    with pytest.raises(InputError, match="the same pair in train and test"):
        load(source)
    dataset = load(source, split=SplitSpec(by="user"))
    assert sum(counts(dataset)) == 2
    assert "the file's own split labels were set aside" in dataset.notes


def test_contradicting_labels_do_not_matter_to_another_protocol(folder):
    source = folder({"interactions.csv": "user,item,split,time\na,x,train,1\na,x,test,2\na,y,nonsense,3\n"})
    dataset = load(source, split=SplitSpec(by="last"))
    assert sum(counts(dataset)) == 2
    assert "the file's own split labels were set aside" in dataset.notes


def test_one_part_of_a_split_can_be_read_by_itself(folder):
    source = folder({"shop.train.inter": "user_id:token\titem_id:token\na\tx\n", "shop.test.inter": ""})
    dataset = load(source / "shop.train.inter")
    assert sum(counts(dataset)) == 1
    assert dataset.name == "shop"


def test_the_columns_that_are_used_are_noted(folder):
    source = folder({"interactions.csv": "reviewer_id,asin,date,x_label,price\na,x,1970-01-01,0,3\n"})
    notes = load(source).notes
    assert "interactions.csv: columns used: reviewer_id (user), asin (item), x_label (split)" in notes
    assert "interactions.csv: columns not used: date, price" in notes
    notes = load(source, split=SplitSpec(by="time")).notes
    assert "interactions.csv: columns used: reviewer_id (user), asin (item), date (time)" in notes


@pytest.mark.parametrize("alike", ["007", "7.0", " 7", "7 ", "7.00", "\uff17", "7\xa0", "7\u200b", "\ufeff7", "\xad7"])
def test_ids_that_look_alike_are_different_and_noted(alike, folder):
    dataset = load(folder({"interactions.csv": f"user,item\na,7\nb,{alike}\nc,8\n"}))
    assert len(dataset.items) == 3
    assert any(note.startswith("2 item ids differ from another one only in") for note in dataset.notes)


@pytest.mark.parametrize("word", ["NULL", "None", "NaN", "nan", "N/A", "<NA>", "\\N", "NaT"])
def test_ids_that_are_words_for_a_missing_value_are_noted(word, folder):
    dataset = load(folder({"interactions.csv": f"user,item\nAnna,7\n{word},8\nNanna,7\n"}))
    assert len(dataset.users) == 3
    assert f"user ids that may stand for a missing value, but are users here: {word!r}" in dataset.notes


def test_ids_that_differ_in_case_and_from_those_of_features_are_noted(folder):
    source = folder({"interactions.csv": "user,item\nAnna,7\nanna,8\n", "features/a.ids.txt": "007\n8\n"})
    np.save(source / "features" / "a.npy", np.ones((2, 2)))
    notes = load(source).notes
    assert any(note.startswith("2 user ids differ") for note in notes)
    assert any(note.startswith("2 item ids differ") and "'007'" in note for note in notes)


def test_a_column_without_a_name_is_not_used(folder):
    dataset = load(folder({"interactions.csv": ",user,item\n0,a,x\n1,b,y\n"}))
    assert "interactions.csv: columns not used: ''" in dataset.notes


def test_users_and_items_cannot_be_one_column(folder):
    with pytest.raises(InputError, match="for users and items"):
        load(folder({"interactions.csv": "user,item\na,x\n"}), columns=ColumnNames(user="item"))


@pytest.mark.parametrize("identifier", ["x\0", "\0", "x\0y"])
def test_ids_with_nul_are_refused(identifier, folder):
    with pytest.raises(InputError, match="an id without NUL"):
        load(folder({"interactions.csv": f"user,item\na,{identifier}\n"}))
    with pytest.raises(InputError, match="an id without NUL"):
        load(folder({"interactions.csv": "user,item\na,x\n", "items.csv": f"item\nx\n{identifier}\n"}))


def test_names_of_columns_cannot_control_a_terminal(folder):
    notes = load(folder({"interactions.csv": "user,item,\x1b[31mred\na,x,1\n"})).notes
    assert "interactions.csv: columns not used: \\x1b[31mred" in notes
