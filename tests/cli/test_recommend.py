"""`prismrec recommend` and `evaluate` as data: JSON, CSV, users without interactions, columns of the item table."""

import datetime
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from prismrec.cli import app
from prismrec.errors import InputError

USERS, ITEMS = 12, 9


def write_data(folder: Path, column: pl.Series, new_user: bool = False) -> Path:
    """Twelve users with four of nine items each; item i3 is the most popular."""
    folder.mkdir()
    pairs = [(f"u{u}", f"i{(u + 2 * j) % ITEMS}") for u in range(USERS) for j in range(4)]
    pairs += [(f"u{u}", "i3") for u in range(USERS)]
    table = pl.DataFrame(sorted(set(pairs)), schema=["user_id", "item_id"], orient="row")
    table.write_csv(folder / "interactions.csv")
    pl.DataFrame({"item_id": [f"i{i}" for i in range(ITEMS)], "extra": column}).write_parquet(folder / "items.parquet")
    if new_user:
        pl.DataFrame({"user_id": [*[f"u{u}" for u in range(USERS)], "new"]}).write_csv(folder / "users.csv")
    return folder


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def trained(folder: Path, model: str = "most-popular") -> Path:
    run = folder.parent / f"{folder.name}-{model}"
    done = call("train", model, folder, "--out", run, "--epochs", 2, "--device", "cpu")
    assert done.exit_code == 0, done.output
    return run


def no_constants(word: str) -> Any:
    raise AssertionError(f"{word} is not JSON")


COLUMNS = {
    "date": pl.Series([datetime.date(2024, 1, 1)] * ITEMS),
    "duration": pl.Series([datetime.timedelta(days=1)] * ITEMS),
    "list": pl.Series([["a", "b"]] * ITEMS),
    "struct": pl.Series([{"a": 1.5, "b": float("nan")}] * ITEMS),
    "bytes": pl.Series([b"\xff\x00"] * ITEMS),
    "decimal": pl.Series(["1.5"] * ITEMS).cast(pl.Decimal(9, 2)),
    "category": pl.Series(["=1+1"] * ITEMS, dtype=pl.Categorical),
    "nan": pl.Series([float("nan")] * ITEMS),
    "infinite": pl.Series([float("-inf")] * ITEMS),
    "boolean": pl.Series([True] * ITEMS),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_type_of_column_becomes_json_and_csv(tmp_path: Path, kind: str) -> None:
    run = trained(write_data(tmp_path / "shop", COLUMNS[kind]))
    printed = call("recommend", run, "--user", "u0", "--columns", "extra", "--json")
    assert printed.exit_code == 0, printed.output
    rows = json.loads(printed.stdout, parse_constant=no_constants)["u0"]
    assert all("extra" in row for row in rows)
    if kind in ("nan", "infinite"):
        assert all(row["extra"] is None for row in rows)
    for suffix in (".csv", ".json", ".parquet"):
        file = tmp_path / f"lists{suffix}"
        written = call("recommend", run, "--all", "--columns", "all", "--out", file)
        assert written.exit_code == 0, written.output
        assert file.stat().st_size > 0
    assert pl.read_csv(tmp_path / "lists.csv").columns == ["user", "rank", "item", "score", "extra"]
    json.loads((tmp_path / "lists.json").read_text(), parse_constant=no_constants)


def test_data_hold_ids_alone_unless_columns_are_asked_for(tmp_path: Path) -> None:
    run = trained(write_data(tmp_path / "shop", COLUMNS["boolean"]))
    rows = json.loads(call("recommend", run, "--user", "u0", "--json").stdout)["u0"]
    assert list(rows[0]) == ["rank", "item", "score"]
    assert call("recommend", run, "--all").stdout.splitlines()[0] == "user,rank,item,score"
    with pytest.raises(InputError, match=r"columns: found 'title'; expected columns of the item table \(extra\)"):
        CliRunner().invoke(app, ["recommend", str(run), "--user", "u0", "--columns", "title"], catch_exceptions=False)


def test_csv_cells_that_a_spreadsheet_would_run_are_escaped_and_counted(tmp_path: Path) -> None:
    folder = write_data(tmp_path / "shop", pl.Series(["=1+1", "+1", "-1", "@a", "a=b", "", "x", "y", None]))
    run = trained(folder)
    written = call("recommend", run, "--all", "-k", ITEMS, "--columns", "all", "--out", tmp_path / "lists.csv")
    texts = {text for text in pl.read_csv(tmp_path / "lists.csv")["extra"] if text}
    assert not {text for text in texts if text[0] in "=+-@"}
    assert "a=b" in texts
    assert "apostrophe" in written.stderr
    call("recommend", run, "--all", "-k", ITEMS, "--columns", "all", "--raw-csv", "--out", tmp_path / "raw.csv")
    assert {text for text in pl.read_csv(tmp_path / "raw.csv")["extra"] if text and text[0] in "=+-@"}


def test_a_user_without_interactions_gets_popular_items_with_a_note_or_is_refused(tmp_path: Path) -> None:
    folder = write_data(tmp_path / "shop", COLUMNS["boolean"], new_user=True)
    popular = json.loads(call("recommend", trained(folder), "--user", "new", "--json").stdout)["new"]
    run = trained(folder, "LightGCN")
    found = call("recommend", run, "--user", "new", "--json")
    assert [row["item"] for row in json.loads(found.stdout)["new"]] == [row["item"] for row in popular]
    assert "user 'new' without a training interaction: the most popular items" in found.stderr
    with pytest.raises(InputError, match="user 'new': found no training interaction"):
        words = ["recommend", str(run), "--all", "--unknown", "refuse"]
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_a_user_who_has_everything_is_named(tmp_path: Path) -> None:
    folder = write_data(tmp_path / "shop", COLUMNS["boolean"])
    with (folder / "interactions.csv").open("a") as file:
        file.writelines(f"all,i{i}\n" for i in range(ITEMS))
    found = call("recommend", trained(folder), "--user", "all", "--json")
    assert json.loads(found.stdout) == {}
    assert "user 'all' without an item left to recommend" in found.stderr


def test_ids_and_titles_are_shown_as_they_are_and_whole(tmp_path: Path) -> None:
    folder = write_data(tmp_path / "shop", COLUMNS["boolean"])
    title = "[bold]A very long title[/bold] " * 6
    pl.DataFrame({"item_id": [f"i{i}" for i in range(ITEMS)], "title": [title] * ITEMS}).write_parquet(
        folder / "items.parquet"
    )
    shown = call("recommend", trained(folder), "--user", "u0", "-k", 1).stdout
    assert shown.count("[bold]") == 6
    assert "…" not in shown


def test_columns_named_like_those_of_lists_are_in_every_output(tmp_path: Path) -> None:
    folder = write_data(tmp_path / "shop", pl.Series([f"no. {i}" for i in range(ITEMS)]))
    table = pl.read_parquet(folder / "items.parquet")
    table.rename({table.columns[-1]: "rank"}).write_parquet(folder / "items.parquet")
    run = trained(folder)
    asked = ("recommend", run, "--user", "u0", "-k", 1, "--columns", "rank")
    [row] = json.loads(call(*asked, "--json").stdout)["u0"]
    assert (row["rank"], row["item_rank"]) == (1, f"no. {row['item'][1:]}")
    assert row["item_rank"] in call(*asked).stdout
    for name in ("lists.csv", "lists.json", "lists.parquet"):
        assert call("recommend", run, "--all", "--columns", "rank", "--out", tmp_path / name).exit_code == 0
    assert pl.read_csv(tmp_path / "lists.csv").equals(pl.read_parquet(tmp_path / "lists.parquet"))
    assert pl.read_json(tmp_path / "lists.json").columns == ["user", "rank", "item", "score", "item_rank"]


def test_lists_are_not_written_into_the_run(tmp_path: Path) -> None:
    run = trained(write_data(tmp_path / "shop", COLUMNS["boolean"]))
    before = (run / "items.parquet").read_bytes()
    for command in (("recommend", run, "--all"), ("recommend", run, "--user", "u0"), ("similar", run, "i0")):
        for out in (run / "items.parquet", run / "checkpoint" / "lists.csv"):
            assert call(*command, "--out", out).exit_code == 1
    assert call("page", run, "--out", run / "items.parquet").exit_code == 1
    assert (run / "items.parquet").read_bytes() == before


@pytest.mark.parametrize("name", ["lists[1].parquet", "lists*.csv", "~/lists.json"])
def test_lists_of_all_users_are_written_to_files_of_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(write_data(tmp_path / "shop", COLUMNS["boolean"]))
    monkeypatch.chdir(tmp_path)
    Path("~").mkdir()
    assert call("recommend", run, "--all", "-k", 2, "--out", name).exit_code == 0
    assert Path(name).stat().st_size
    assert not list(Path(name).parent.glob("*.parts"))


@pytest.mark.parametrize("k", [0, -1])
def test_an_impossible_k_is_refused(tmp_path: Path, k: int) -> None:
    run = trained(write_data(tmp_path / "shop", COLUMNS["boolean"]))
    with pytest.raises(InputError, match="k: found"):
        CliRunner().invoke(app, ["recommend", str(run), "--user", "u0", "-k", str(k)], catch_exceptions=False)


def test_empty_groups_are_null_in_json(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    once = [f"once{u},i{u}" for u in range(4)]
    often = [f"often{u},i{(2 * u + k) % 13}" for u in range(6) for k in range(6)]
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id", *once, *often]))
    run = trained(folder)
    printed = call("evaluate", run, "--groups", 3, "-k", 5, "--json")
    groups = json.loads(printed.stdout, parse_constant=no_constants)["groups"]
    assert None in [means["recall@5"] for means in groups.values()]


def test_a_run_of_a_newer_version_is_read_and_what_is_unknown_is_named(tmp_path: Path) -> None:
    run = trained(write_data(tmp_path / "shop", COLUMNS["boolean"]))
    config = json.loads((run / "config.json").read_text())
    config["settings"]["clip"], config["versions"]["prismrec"] = 1.0, "9.9"
    (run / "config.json").write_text(json.dumps(config))
    found = call("recommend", run, "--user", "u0", "--json")
    assert found.exit_code == 0
    assert "prismrec 9.9 wrote this run with clip, which is ignored" in found.stderr


@pytest.mark.parametrize("k", [ITEMS + 1, 2**31, 2**70])
def test_a_large_k_gives_all_items_that_are_left(tmp_path: Path, k: int) -> None:
    run = trained(write_data(tmp_path / "shop", COLUMNS["boolean"]))
    rows = json.loads(call("recommend", run, "--user", "u0", "-k", k, "--json").stdout)["u0"]
    assert len(rows) == ITEMS - len({0, 2, 4, 6, 3})


CONTROLS = [
    "\x1b[31mred",
    "a\x07bell",
    "\x9b31mred",
    "a\x08b",
    "a\rb",
    "\u202egpj.exe",
    "\u2066isolated",
    "a\u2028b",
    "a\nb",
]


def test_control_characters_in_titles_are_shown_escaped_and_kept_in_data(tmp_path: Path) -> None:
    run = trained(write_data(tmp_path / "shop", pl.Series(CONTROLS)))
    table = call("recommend", run, "--user", "u0", "-k", ITEMS, "--columns", "extra").stdout
    assert [character for character in table if ascii(character) != repr(character) and ord(character) < 0x2500] == []
    assert not any(ord(character) < 32 for character in table.replace("\n", ""))
    data = call("recommend", run, "--user", "u0", "-k", ITEMS, "--columns", "extra", "--json").stdout
    shown = {row["extra"] for row in json.loads(data)["u0"]}
    assert shown <= set(CONTROLS)
    assert len(shown) == 4


def test_tables_of_histories_have_a_title_for_people(tmp_path: Path) -> None:
    run = trained(write_data(tmp_path / "d", pl.Series(["x"] * ITEMS)))
    one = call("recommend", run, "--history", "i1,i2", "-k", 2).output
    assert one.startswith("for this history")
    two = call("recommend", run, "--history", "i1", "--history", "i2", "-k", 2).output
    assert [line.strip() for line in two.splitlines() if line.startswith("for")] == ["for history 1", "for history 2"]


@pytest.fixture(scope="module")
def odd_ids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with ids that contain commas, quotes and other marks."""
    folder = write_data(tmp_path_factory.mktemp("odd") / "d", pl.Series(["x"] * ITEMS))
    ids = ["a,b", 'q"uote', '"whole"', "sp ace", "line\u2028mark", "i5", "i6", "i7", "i8"]
    names = {f"i{number}": identifier for number, identifier in enumerate(ids)}
    clicks = pl.read_csv(folder / "interactions.csv")
    clicks.with_columns(pl.col("item_id").replace(names)).write_csv(folder / "interactions.csv")
    extra = {"item_id": ids, "size, cm": range(ITEMS), "price": range(ITEMS)}
    pl.DataFrame(extra).write_parquet(folder / "items.parquet")
    return trained(folder)


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        ('"a,b",i5', {"a,b", "i5"}),
        ('q"uote,sp ace', {'q"uote', "sp ace"}),
        ('"""whole"""', {'"whole"'}),
        ("line\u2028mark", {"line\u2028mark"}),
    ],
)
def test_a_history_has_ids_with_commas_and_quotes(odd_ids: Path, text: str, left_out: set[str]) -> None:
    answer = call("recommend", odd_ids, "--history", text, "-k", ITEMS, "--json")
    listed = {row["item"] for row in json.loads(answer.stdout)["0"]}
    assert len(listed) == ITEMS - len(left_out)
    assert not listed & left_out
    assert "ignored" not in answer.stderr


@pytest.mark.parametrize("text", ['"a,b', '"a" b', "i5,,i6", "i5,", "i5\ni6"])
def test_a_history_that_is_no_list_is_refused(odd_ids: Path, text: str) -> None:
    refused = call("recommend", odd_ids, "--history", text)
    assert isinstance(refused.exception, InputError)
    assert "--history: found" in str(refused.exception)
    assert '"a,b",c' in str(refused.exception)


def test_columns_with_commas_are_chosen(odd_ids: Path) -> None:
    answer = call("recommend", odd_ids, "--user", "u0", "-k", 1, "--json", "--columns", '"size, cm", price')
    [row] = json.loads(answer.stdout)["u0"]
    assert row["size, cm"] == row["price"]


def test_candidates_may_have_any_mark_and_a_byte_order_mark(odd_ids: Path, tmp_path: Path) -> None:
    (tmp_path / "ids").write_bytes("\ufeffa,b\r\nline\u2028mark\n".encode())
    words = ["recommend", odd_ids, "--user", "u0", "--seen", "--candidates", tmp_path / "ids", "--json"]
    answer = call(*words)
    assert answer.exit_code == 0, answer.exception
    assert {row["item"] for row in json.loads(answer.stdout)["u0"]} == {"a,b", "line\u2028mark"}


def test_tables_show_names_like_the_page(tmp_path: Path) -> None:
    folder = write_data(tmp_path / "data", pl.Series(["x"] * ITEMS))
    names = pl.DataFrame({"item_id": [f"i{i}" for i in range(ITEMS)], "Name": [f"mug {i}" for i in range(ITEMS)]})
    names.write_parquet(folder / "items.parquet")
    run = trained(folder)
    assert "mug" in call("recommend", run, "--user", "u0").stdout
    assert "mug" in call("similar", run, "i3").stdout
    assert "mug" not in call("recommend", run, "--user", "u0", "--json").stdout
