import json
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from prismrec.cli.data import app, show, summarise
from prismrec.cli.options import describe_error
from prismrec.cli.source import DataOptions, parse_size
from prismrec.data import SplitSpec, load
from prismrec.errors import InputError

ROWS = "user,item,when\n" + "".join(f"u{user},{item},{item}\n" for user in range(4) for item in range(10))


@pytest.fixture
def source(tmp_path):
    source = tmp_path / "shop"
    (source / "features").mkdir(parents=True)
    (source / "interactions.csv").write_text(ROWS)
    np.savez(source / "features" / "image.npz", ids=np.arange(1, 10), features=np.ones((9, 5)))
    return source


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_describe_prints_one_json_object_with_the_counts_of_the_data(source):
    summary = json.loads(run("describe", source, "--json"))
    assert (summary["users"], summary["items"]) == (4, 10)
    assert summary["interactions"] == 40
    assert summary["density"] == 1.0
    assert summary["splits"]["valid"] == {"interactions": 4, "users": 4, "items": len(set(load(source).valid.items))}
    assert summary["modalities"] == {"image": {"width": 5, "missing": 1}}
    assert summary["fingerprint"] == load(source).fingerprint
    assert "interactions.csv: columns not used: when" in summary["notes"]


def test_describe_shows_counts_modalities_and_notes(source):
    shown = run("describe", source)
    for word in ("shop", "train", "32", "image", "density 100", "1 of 10 items lack it"):
        assert word in shown


def test_describe_prints_names_with_brackets_unchanged(source, capsys):
    """Rich would read [red] as a colour and leave it out."""
    (source / "features" / "image.npz").rename(source / "features" / "[bold]image.npz")
    show(replace(summarise(load(source)), name="[red]shop"))
    shown = capsys.readouterr().out
    assert "[red]shop" in shown
    assert "│ [bold]image" in shown
    assert "- [bold]image: 1 of 10 items lack it" in shown


def test_options_reach_the_reader(source):
    options = ("--by", "last", "--time-column", "when", "--k-core", "4", "--fill", "zero", "--modality", "image")
    summary = json.loads(run("describe", source, "--json", *options))
    assert "split: each user's last two pairs held out" in summary["notes"]
    assert any("filled with zeros" in note for note in summary["notes"])
    with pytest.raises(InputError, match="a column 'whence'"):
        run("describe", source, "--split-column", "whence")


@pytest.mark.parametrize("seed_option", ["--seed", "--split-seed"])
def test_split_writes_the_split_of_the_options(seed_option, source, tmp_path):
    out = tmp_path / "split"
    run("split", source, "--out", out, "--by", "cold-items", "--ratios", "6:2:2", seed_option, 5)
    written = load(out)
    expected = load(source, split=SplitSpec(by="cold-items", ratios=(6, 2, 2), seed=5))
    assert written.fingerprint == expected.fingerprint
    assert set(pl.read_csv(out / "interactions.csv")["split"]) == {"train", "valid", "test"}


def test_convert_to_mmrec_and_back_keeps_the_split(source, tmp_path):
    run("convert", source, "--to", "mmrec", "--out", tmp_path / "mmrec")
    run("convert", tmp_path / "mmrec", "--to", "table", "--out", tmp_path / "table")
    before = load(source)
    after = load(tmp_path / "table")
    np.testing.assert_array_equal(after.test.items, before.test.items)
    np.testing.assert_array_equal(after.features["image"], before.features["image"])


def test_convert_to_mmrec_says_what_the_layout_has_no_place_for(source, tmp_path):
    shown = run("convert", source, "--to", "mmrec", "--out", tmp_path / "mmrec")
    assert "! image: the layout does not say which items lack it" in shown
    assert "how features were made" not in shown, "that is not known of these"


def test_split_prints_the_notes_of_the_reader(source, tmp_path):
    shown = run("split", source, "--out", tmp_path / "out")
    assert "- image: 1 of 10 items lack it" in shown
    assert "32 train, 4 valid, 4 test" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("describe", "{}", "--ratios", "8:2"), r"--ratios: found '8:2'; expected three shares"),
        (("describe", "{}", "--ratios", "a:b:c"), r"--ratios: found 'a:b:c'; expected three shares"),
        (("describe", "{}", "--ratios", "８:1:1"), r"--ratios: found '８:1:1'; expected three shares"),
        (("describe", "{}", "--ratios", "1_0:1:1"), r"--ratios: found '1_0:1:1'; expected three shares"),
        (("describe", "{}", "--ratios", "0:1:1"), r"--ratios: found '?0:1:1'?; expected three shares"),
        (("describe", "{}", "--by", "random"), r"--by: found 'random'; expected one of: label, user"),
        (("describe", "{}", "--memory-limit", "much"), r"--memory-limit: found 'much'; expected a size"),
        (("convert", "{}", "--to", "excel", "--out", "{}-2"), r"--to: found 'excel'; expected one of: table, mmrec"),
        (("convert", "{}", "--to", "table", "--out", "{}"), r"found something already there; expected a new or empty"),
    ],
)
def test_invalid_options_are_refused_by_name(words, message, source):
    with pytest.raises(InputError) as refusal:
        run(*[word.format(source) for word in words])
    assert re.search(message, describe_error(refusal.value))


def test_a_negative_seed_is_refused_by_name(source):
    result = CliRunner().invoke(app, ["describe", str(source), "--seed", "-1"])
    assert result.exit_code == 2
    assert "--seed" in result.output


def test_ratios_or_a_seed_alone_split_within_each_user():
    assert DataOptions().split is None
    assert DataOptions(ratios="7:1:2").split == SplitSpec(by="user", ratios=(7, 1, 2), seed=0)
    assert DataOptions(split_seed=3).split == SplitSpec(by="user", seed=3)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("2k", 2048), ("500M", 500 * 2**20), ("4G", 2**32), ("1.5GiB", 3 * 2**29), ("1 TB", 2**40)],
)
def test_sizes_are_powers_of_1024(text, size):
    assert parse_size(text) == size


def test_options_leave_out_interactions_and_columns(tmp_path):
    folder = tmp_path / "ratings"
    folder.mkdir()
    rows = "".join(f"u{user},i{item},{item % 5 + 1}\n" for user in range(4) for item in range(10))
    (folder / "interactions.csv").write_text("user,item,stars\n" + rows)
    (folder / "items.csv").write_text("item_id,title\n" + "".join(f"i{item},t\n" for item in range(8)))
    drop = ["--unknown-items", "drop"]
    counted = json.loads(run("describe", folder, *drop, "--rating-column", "stars", "--min-rating", 3, "--json"))
    assert counted["interactions"] == 4 * len([item for item in range(8) if item % 5 + 1 >= 3])
    assert json.loads(run("describe", folder, *drop, "--where", "stars>=3", "--json"))["interactions"] == 16
    assert json.loads(run("describe", folder, *drop, "--ignore-column", "items.csv:title", "--json"))["catalog"] == [
        "item_id"
    ]
    with pytest.raises(InputError, match="item"):
        run("describe", folder)
