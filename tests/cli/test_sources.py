"""`prismrec data sources`, `fetch` and `import`."""

import json
import re

import pytest
from typer.testing import CliRunner

from prismrec.cli.data import app
from prismrec.cli.options import describe_error
from prismrec.data.sources import all_sources
from prismrec.errors import InputError

from public_data import amazon_2014, movielens_1m, write


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_sources_lists_every_source_and_how_to_get_it():
    listed = json.loads(run("sources", "--json"))
    assert list(listed) == [source.name for source in all_sources()]
    assert listed["ml-1m"]["files"][0]["checksum"] == "md5:c4d9eecfca2ab87c1945afe126590906"
    shown = run("sources")
    for name in ("amazon-2014", "ml-32m", "yelp"):
        assert name in shown


def test_sources_describes_one_with_its_licence_parts_and_files():
    shown = run("sources", "amazon-2014")
    assert "licence: " in shown and "Baby, Beauty" in shown
    assert "reviews_Baby_5.json.gz" in run("sources", "amazon-2014:Baby")
    assert "download by hand: transactions_train.csv" in run("sources", "hm")


def test_import_writes_a_folder_that_describe_and_train_read(tmp_path):
    raw = write(tmp_path / "raw", movielens_1m())
    said = run("import", "ml-1m", raw, "--out", tmp_path / "out", "--min-rating", "4")
    assert "- rating >= 4: 2 interactions" in said
    assert said.splitlines()[-1] == f"wrote {tmp_path / 'out'}: 2 users, 1 items, 2 interactions"
    described = run("describe", tmp_path / "out")
    assert "imported from MovieLens 1m" in re.sub(r"\s+", " ", described)
    notes = json.loads(run("describe", tmp_path / "out", "--json"))["notes"]
    assert "rating >= 4: 2" in notes[0]


def test_import_prints_what_import_json_says(tmp_path):
    raw = write(tmp_path / "raw", amazon_2014())
    words = ("--since", "2013-07-10", "--by", "last", "--no-features", "--json")
    said = json.loads(run("import", "amazon-2014:Baby", raw, "--out", tmp_path / "out", *words))
    written = json.loads((tmp_path / "out/import.json").read_text())
    written.pop("format")
    assert said == written
    assert said["options"] == {"since": "2013-07-10", "split": "each user's last two pairs held out", "features": False}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--since", "yesterday"), "--since: found 'yesterday'; expected a day such as 2016-01-31"),
        (("--min-plays", "3"), "--min-plays: found 3; expected no such option: ml-1m has rating"),
        (("--ratios", "8:2"), "--ratios: found '8:2'"),
        (("--history",), "--history: found true"),
        (("--until", "2000-01-01", "--since", "2001-01-01"), "--until: found 2000-01-01; expected a day after"),
    ],
)
def test_wrong_options_are_refused_by_their_names(tmp_path, words, message):
    raw = write(tmp_path / "raw", movielens_1m())
    with pytest.raises(InputError) as refusal:
        run("import", "ml-1m", raw, "--out", tmp_path / "out", *words)
    assert describe_error(refusal.value).startswith(message)
    assert not (tmp_path / "out").exists()


def test_an_unknown_source_is_refused_with_suggestions(tmp_path):
    with pytest.raises(InputError) as refusal:
        run("fetch", "ml-2m", "--out", tmp_path)
    assert describe_error(refusal.value).startswith("SOURCE: found no source 'ml-2m'; expected one of: ml-")
    with pytest.raises(InputError) as refusal:
        run("fetch", "ml-1m", "--out", tmp_path, "--from", "/copy")
    assert describe_error(refusal.value).startswith("--from: found '/copy'")


def test_pictures_counts_what_it_downloads(tmp_path):
    raw = write(tmp_path / "raw", movielens_1m())
    run("import", "ml-1m", raw, "--out", tmp_path / "out")
    with pytest.raises(InputError, match="column: found 'image_url'"):
        run("pictures", tmp_path / "out")
    said = run("pictures", tmp_path / "out", "--column", "title")
    assert said.splitlines()[0] == "0 pictures downloaded, 0 already there, 2 failed, 0 items have no address"
    assert "failed.csv lists the failures" in said


def test_an_error_of_a_download_is_its_only_line(tmp_path):
    for words in (("ml-1m", "--from", "/copy"), ("yelp",), ("amazon-2014",)):
        result = CliRunner().invoke(app, ["fetch", *words, "--out", str(tmp_path / "raw")])
        assert isinstance(result.exception, InputError)
        assert result.output == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [("notes", 5), ("title", [1]), ("title", "\ud800"), ("options", None), ("steps", [{"name": 1}]), ("files", "x")],
)
def test_an_import_json_of_another_program_is_a_file_that_is_not_read(tmp_path, field, value):
    raw = write(tmp_path / "raw", movielens_1m())
    run("import", "ml-1m", raw, "--out", tmp_path / "out")
    record = json.loads((tmp_path / "out/import.json").read_text())
    (tmp_path / "out/import.json").write_text(json.dumps({**record, field: value}))
    notes = json.loads(run("describe", tmp_path / "out", "--json"))["notes"]
    assert any("import.json" in note for note in notes)
    run("split", tmp_path / "out", "--out", tmp_path / "split")


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, " " * (1 << 25)])
def test_an_import_json_of_any_content_does_no_harm(tmp_path, content):
    raw = write(tmp_path / "raw", movielens_1m())
    run("import", "ml-1m", raw, "--out", tmp_path / "out")
    (tmp_path / "out/import.json").write_text(content)
    assert json.loads(run("describe", tmp_path / "out", "--json"))["interactions"] == 3
