"""Which layout a source is read in."""

import json

import pytest

from prismrec.data import load
from prismrec.errors import InputError

TABLE = {"interactions.csv": "user,item\nfrom-table,x\n"}
MMREC = {"shop.inter": "userID\titemID\tx_label\n5\t1\t0\n"}
RECBOLE = {"atomic.inter": "user_id:token\titem_id:token\nfrom-recbole\tx\n"}
LATTICE = {f"5-core/{name}.json": json.dumps({"7": [item]}) for item, name in enumerate(("train", "val", "test"))}


@pytest.mark.parametrize(
    ("files", "last_user"), [(TABLE, "from-table"), (MMREC, "5"), (RECBOLE, "from-recbole"), (LATTICE, "7")]
)
def test_a_layout_is_recognised_by_its_files(files, last_user, folder):
    assert load(folder(files)).users.ids[-1] == last_user


@pytest.mark.parametrize(("name", "last_user"), [("table", "from-table"), ("mmrec", "5"), ("lattice", "7")])
def test_of_several_layouts_the_named_one_is_read(name, last_user, folder):
    assert load(folder(TABLE | MMREC | LATTICE), format=name).users.ids[-1] == last_user


@pytest.mark.parametrize(
    ("file", "last_user"),
    [
        ("interactions.csv", "from-table"),
        ("shop.inter", "5"),
        ("atomic.inter", "from-recbole"),
        ("5-core/train.json", "7"),
    ],
)
def test_a_file_is_read_in_its_own_layout(file, last_user, folder):
    source = folder(TABLE | MMREC | RECBOLE | LATTICE)
    assert load(source / file).users.ids[-1] == last_user


def test_a_table_of_interactions_may_have_any_name_if_it_is_named(folder):
    source = folder({"clicks-2024.tsv": "user\titem\na\tx\n"})
    dataset = load(source / "clicks-2024.tsv")
    assert dataset.users.ids.to_list() == ["a"]
    assert dataset.name == "clicks-2024"


def test_a_named_layout_that_is_not_there_is_refused(folder):
    with pytest.raises(InputError, match="no interactions in the layout 'lattice'"):
        load(folder(TABLE), format="lattice")


def test_a_file_of_another_kind_is_refused(folder):
    with pytest.raises(InputError, match="a file that is no interactions"):
        load(folder({"clicks.xlsx": "PK"}) / "clicks.xlsx")


def test_two_inter_files_are_refused_even_if_the_layout_is_named(folder):
    source = folder({**MMREC, "other.inter": MMREC["shop.inter"]})
    with pytest.raises(InputError, match=r"'other.inter', 'shop.inter'; expected one file of interactions"):
        load(source, format="mmrec")


@pytest.mark.parametrize(
    "name", ["Interactions.CSV", "interactions.Parquet", "Train.csv", "INTERACTIONS.tsv.gz", "shop.INTER", "Train.json"]
)
def test_a_file_whose_name_has_other_capitals_is_named(name, tmp_path):
    (tmp_path / name).write_text("user_id,item_id\n")
    with pytest.raises(InputError, match=f"found no interactions, but '{name}'; expected .*; capitals matter"):
        load(tmp_path)
