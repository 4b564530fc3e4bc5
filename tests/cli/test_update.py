"""`prismrec update` and `refit` of a run whose tables have column names of their own."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from prismrec.cli import app
from prismrec.errors import InputError
from prismrec.runs import Run

OWN_NAMES = ("--user-column", "customer", "--item-column", "sku", "--where", "event=order", "--unknown-items", "drop")


def prismrec(*words: object) -> str:
    """What the command writes to standard output and standard error."""
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def write_items(folder: Path, skus: list[str], price: str = "12", code: str = "007") -> None:
    (folder / "features").mkdir(parents=True)
    names = [f"item {sku}" for sku in skus]
    columns = {"sku": skus, "name": names, "price": [price] * len(skus), "code": [code] * len(skus)}
    pl.DataFrame(columns).write_csv(folder / "items.csv")
    rows = np.random.default_rng(len(skus)).normal(size=(len(skus), 4)).astype(np.float32)
    np.savez(folder / "features/image.npz", ids=np.array(skus), features=rows)


def write_clicks(path: Path, clicks: list[tuple[str, str, str]]) -> Path:
    pl.DataFrame(clicks, schema=["customer", "sku", "event"], orient="row").write_csv(path)
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of clicks, beside its item table and features."""
    folder = tmp_path_factory.mktemp("own") / "shop"
    skus = [f"s{number:02d}" for number in range(30)]
    write_items(folder, skus)
    draw = np.random.default_rng(0)
    clicks = [(f"c{user}", sku, "order") for user in range(40) for sku in draw.choice(skus, 8, replace=False)]
    return write_clicks(folder / "clicks.csv", [*clicks, ("c0", "gift", "order"), ("lurker", "s00", "view")])


@pytest.fixture(scope="module")
def run(shop: Path) -> Path:
    out = shop.parent.parent / "run"
    prismrec("train", "VBPR", shop, *OWN_NAMES, "--out", out, "--epochs", 2, "-q")
    return out


def test_numbers_of_a_csv_table_are_numbers_and_an_update_keeps_decimals(run: Path, tmp_path: Path) -> None:
    asked = ["--user", "c1", "-k", 30, "--seen", "--columns", "price,code,name", "--json"]
    first = json.loads(prismrec("recommend", run, *asked))["c1"][0]
    assert (first["price"], first["code"]) == (12, "007")
    write_items(tmp_path / "new", ["s98", "s99"], price="19.90")
    prismrec("update", run, "--items", tmp_path / "new", "--out", tmp_path / "out", "-q")
    assert Run.load(tmp_path / "out").catalog["price"].to_list() == [12.0] * 30 + [19.9] * 2
    write_items(tmp_path / "code", ["s98"], price="019")
    with pytest.raises(InputError, match=r"column 'price': found '019'.*expected values of type Int64, as in the run"):
        prismrec("update", run, "--items", tmp_path / "code", "--out", tmp_path / "no")
    write_items(tmp_path / "odd", ["s98"], price="on request")
    with pytest.raises(InputError, match=r"column 'price'.*expected values of type Int64, as in the run"):
        prismrec("update", run, "--items", tmp_path / "odd", "--out", tmp_path / "no")


def test_text_of_the_run_stays_text_in_an_update_of_numbers(run: Path, tmp_path: Path) -> None:
    write_items(tmp_path / "new", ["s98"], code="1.50")
    prismrec("update", run, "--items", tmp_path / "new", "--out", tmp_path / "out", "-q")
    assert Run.load(tmp_path / "out").catalog["code"].to_list() == ["007"] * 30 + ["1.50"]


def test_new_tables_are_read_like_those_of_the_run(run: Path, tmp_path: Path) -> None:
    write_items(tmp_path / "new", ["s98", "s99"])
    orders = [("c1", "s98", "order"), ("newcomer", "s99", "order"), ("c1", "s99", "view"), ("c2", "gift", "order")]
    before = Run.load(run)
    known = before.items.id(int(before.train.items[0])), before.users.id(int(before.train.users[0]))
    clicks = write_clicks(tmp_path / "today.csv", [*orders, (known[1], known[0], "order")])
    told = prismrec("update", run, "--items", tmp_path / "new", "--interactions", clicks, "--out", tmp_path / "out")
    after = Run.load(tmp_path / "out")
    assert after.items.ids[-2:].to_list() == ["s98", "s99"]
    assert after.users.ids[-1] == "newcomer"
    assert len(after.train) == len(before.train) + 2  # neither the view nor the gift card nor the known order
    assert "added 2 items, 1 user, 2 interactions" in told
    assert "1 of 5 rows do not meet event = order" in told
    assert "1 interaction of the run ignored; 1 interaction with 1 item that the run lacks left out" in told


def test_tables_with_the_usual_names_need_no_option(run: Path, tmp_path: Path) -> None:
    (tmp_path / "today.csv").write_text("user_id,item_id\nnewcomer,s01\n")
    told = prismrec("update", run, "--interactions", tmp_path / "today.csv", "--out", tmp_path / "out")
    assert Run.load(tmp_path / "out").users.ids[-1] == "newcomer"
    assert "no column for the condition event = order of the run" in told


def test_the_option_that_the_message_names_exists(run: Path, tmp_path: Path) -> None:
    (tmp_path / "today.csv").write_text("who,sku\nnewcomer,s01\n")
    words = ["update", run, "--interactions", tmp_path / "today.csv", "--out", tmp_path / "out"]
    with pytest.raises(InputError, match="--user-column"):
        prismrec(*words)
    prismrec(*words, "--user-column", "who")
    assert Run.load(tmp_path / "out").users.ids[-1] == "newcomer"


def test_a_folder_with_a_run_is_refused_without_an_option_that_the_command_lacks(run: Path, tmp_path: Path) -> None:
    (tmp_path / "today.csv").write_text("user_id,item_id\nnewcomer,s01\n")
    with pytest.raises(InputError, match=r"something already there: a run.*--overwrite") as refused:
        prismrec("update", run, "--interactions", tmp_path / "today.csv", "--out", run)
    assert "resume" not in str(refused.value)


def test_unknown_items_are_refused_on_request(run: Path, tmp_path: Path) -> None:
    clicks = write_clicks(tmp_path / "today.csv", [("c1", "gift", "order")])
    words = ["update", run, "--interactions", clicks, "--out", tmp_path / "out", "--unknown-items", "refuse"]
    with pytest.raises(InputError, match=r"found item 'gift'.*--unknown-items drop"):
        prismrec(*words)


def test_training_goes_on_with_the_data_read_like_those_of_the_run(run: Path, shop: Path, tmp_path: Path) -> None:
    prismrec("update", run, "--epochs", 1, "--data", shop, "--out", tmp_path / "out", "-q")
    assert len(Run.load(tmp_path / "out").history) == 1


@pytest.mark.filterwarnings("error")
def test_refit_reads_the_data_like_those_of_the_run(run: Path, shop: Path, tmp_path: Path) -> None:
    prismrec("refit", run, "--data", shop, "--out", tmp_path / "out")
    before, after = Run.load(run), Run.load(tmp_path / "out")
    assert len(after.train) == len(before.train) + len(before.valid) + len(before.test)


def test_refit_takes_the_options_that_are_given(run: Path, shop: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="not exactly the data set"):
        prismrec("refit", run, "--data", shop, "--where", "event!=cart", "--out", tmp_path / "out")
    assert "lurker" in Run.load(tmp_path / "out").users.ids
