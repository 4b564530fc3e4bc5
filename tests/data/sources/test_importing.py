"""Options of an import, what it records, and what it refuses."""

import gzip
import json
from datetime import date

import numpy as np
import polars as pl
import pytest

from prismrec.data import SplitSpec, load, write_mmrec, write_table
from prismrec.data.import_record import read_import
from prismrec.data.sources import ImportOptions, import_source
from prismrec.errors import InputError, ParameterError

import public_data
from public_data import write


@pytest.fixture
def ratings(tmp_path):
    """A random MovieLens 1M with 40 users and 30 movies."""
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, (40, 30), (500, 2)), axis=0)
    stars = rng.integers(1, 6, len(pairs))
    times = 946684800 + rng.integers(0, 365 * 86400, len(pairs))
    lines = [f"{u}::{i}::{s}::{t}" for (u, i), s, t in zip(pairs, stars, times, strict=True)]
    movies = [f"{item}::Movie {item} (1999)::Drama" for item in range(35)]
    files = {"ratings.dat": "\n".join(lines).encode() + b"\n", "movies.dat": "\n".join(movies).encode() + b"\n"}
    frame = pl.DataFrame({"user": pairs[:, 0], "item": pairs[:, 1], "rating": stars, "time": times})
    return write(tmp_path / "raw", files), frame


def interactions(folder):
    return pl.read_parquet(folder / "interactions.parquet")


def record(folder):
    return json.loads((folder / "import.json").read_text())


def test_conditions_apply_in_order_and_are_recorded(ratings, tmp_path):
    raw, frame = ratings
    options = ImportOptions(min_rating=3, since=date(2000, 3, 1), until=date(2000, 10, 1), k_core=2)
    import_source("ml-1m", raw, tmp_path / "out", options)
    start, end = 951868800, 970358400
    liked = frame.filter(pl.col("rating") >= 3)
    late = liked.filter(pl.col("time") >= start)
    kept = late.filter(pl.col("time") < end)
    steps = record(tmp_path / "out")["steps"]
    assert [step["name"] for step in steps] == [
        *["in the files", "rating >= 3", "from 2000-03-01", "before 2000-10-01"],
        *["each pair of user and item once", "2-core"],
    ]
    counts = [step["interactions"] for step in steps]
    assert counts[:5] == [len(frame), len(liked), len(late), len(kept), len(kept)]
    core = kept
    while True:
        smaller = core.filter(pl.len().over("user") >= 2, pl.len().over("item") >= 2)
        if len(smaller) == len(core):
            break
        core = smaller
    assert counts[5] == len(core)
    written = interactions(tmp_path / "out")
    assert set(written.select(pl.col("user_id", "item_id").cast(int)).rows()) == set(core.select("user", "item").rows())
    assert record(tmp_path / "out")["options"] == {
        "min_rating": 3,
        "since": "2000-03-01",
        "until": "2000-10-01",
        "k_core": 2,
    }
    assert record(tmp_path / "out")["files"]["raw/ratings.dat"] == (raw / "ratings.dat").stat().st_size


def test_both_logs_of_mind_are_recorded(tmp_path):
    raw = write(tmp_path / "raw", public_data.mind_small())
    import_source("mind-small", raw, tmp_path / "out")
    assert record(tmp_path / "out")["files"] == {name: len(data) for name, data in public_data.mind_small().items()}


def test_describe_names_the_source_and_each_step(ratings, tmp_path):
    raw, frame = ratings
    import_source("ml-1m", raw, tmp_path / "out", ImportOptions(min_rating=4))
    note = load(tmp_path / "out").notes[0]
    assert f"imported from MovieLens 1m (ml-1m); interactions: in the files: {len(frame):,}; rating >= 4: " in note


@pytest.mark.parametrize("by", ["time", "last", "user"])
def test_a_split_is_the_one_that_load_makes_of_the_same_interactions(ratings, tmp_path, by):
    raw, _ = ratings
    split = SplitSpec(by=by, ratios=(7, 1, 2), seed=5)
    import_source("ml-1m", raw, tmp_path / "split", ImportOptions(split=split, k_core=3))
    import_source("ml-1m", raw, tmp_path / "whole", ImportOptions(k_core=3))
    assert load(tmp_path / "split").fingerprint == load(tmp_path / "whole", split=split).fingerprint


def test_items_without_interactions_are_left_out_unless_asked_for(ratings, tmp_path):
    raw, frame = ratings
    import_source("ml-1m", raw, tmp_path / "few")
    import_source("ml-1m", raw, tmp_path / "all", ImportOptions(all_items=True))
    assert pl.read_parquet(tmp_path / "few/items.parquet").height == frame["item"].n_unique()
    assert pl.read_parquet(tmp_path / "all/items.parquet").height == 35
    assert len(load(tmp_path / "all").items) == 35


def test_features_and_pictures_can_be_left_out(tmp_path):
    raw = write(tmp_path / "raw", public_data.amazon_2014())
    import_source("amazon-2014", raw, tmp_path / "out", ImportOptions(features=False))
    assert not (tmp_path / "out/features").exists()
    raw = write(tmp_path / "hm", public_data.hm())
    import_source("hm", raw, tmp_path / "shop", ImportOptions(pictures=False))
    assert not (tmp_path / "shop/images").exists()
    assert "image" not in pl.read_parquet(tmp_path / "shop/items.parquet").columns


def test_rows_in_many_blocks_give_the_same_as_in_one(ratings, tmp_path, monkeypatch):
    raw, _ = ratings
    import_source("ml-1m", raw, tmp_path / "one")
    monkeypatch.setattr("prismrec.data.sources.streams.blocks.__defaults__", (100,))
    import_source("ml-1m", raw, tmp_path / "many")
    assert (tmp_path / "one/interactions.parquet").read_bytes() == (tmp_path / "many/interactions.parquet").read_bytes()


def test_progress_counts_interactions(ratings, tmp_path):
    raw, frame = ratings
    seen: list[int] = []
    import_source("ml-1m", raw, tmp_path / "out", progress=seen.append)
    assert seen[-1] == len(frame)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ml-1m", {"min_plays": 3}, "no such option: ml-1m has rating"),
        ("lastfm", {"min_rating": 3}, "no such option: lastfm has plays"),
        ("hm", {"min_rating": 3}, "no numbers beside its interactions"),
        ("ml-1m", {"history": True}, "no clicks before its log"),
        ("ml-1m", {"min_rating": float("nan")}, "a finite number"),
        ("ml-1m", {"k_core": -1}, "a whole number from 0 on"),
        ("ml-1m", {"since": date(2000, 1, 2), "until": date(2000, 1, 2)}, "a day after 2000-01-02"),
        ("ml-1m", {"split": SplitSpec(by="label")}, "ml-1m has no split labels"),
        ("mmrec", {"since": date(2000, 1, 2)}, "read as it was released"),
        ("movielens", {}, "one of: "),
        ("ml1m", {}, "ml-1m"),
        ("amazon-2014:baby", {}, "expected one of: Baby"),
        ("amazon-2014:", {}, "no part ''"),
        ("ml-1m:small", {}, "ml-1m, which has no parts"),
    ],
)
def test_options_and_names_that_make_no_sense_are_refused(ratings, tmp_path, name, options, message):
    raw, _ = ratings
    with pytest.raises(ParameterError, match=message):
        import_source(name, raw, tmp_path / "out", ImportOptions(**options))
    assert not (tmp_path / "out").exists()


def test_lastfm_has_no_times_to_select_by(tmp_path):
    raw = write(tmp_path / "raw", public_data.lastfm())
    with pytest.raises(InputError, match="no times"):
        import_source("lastfm", raw, tmp_path / "out", ImportOptions(since=date(2000, 1, 1)))
    import_source("lastfm", raw, tmp_path / "out", ImportOptions(min_plays=10))
    assert interactions(tmp_path / "out").height == 2


@pytest.mark.parametrize("name", public_data.ALL)
def test_a_missing_file_is_named_with_where_to_get_it(tmp_path, name):
    (tmp_path / "raw").mkdir()
    with pytest.raises(InputError, match=r"no file .+; expected .*(prismrec data fetch|https://)"):
        import_source(name, tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", public_data.ALL)
def test_a_file_cut_in_the_middle_is_refused_or_loses_whole_lines_only(tmp_path, name):
    """gzip shows a cut. Of plain text, a cut inside the last line shows; one between two lines cannot."""
    files = public_data.ALL[name]
    for position, cut in enumerate(files):
        if "jpg" in cut:
            continue
        raw = write(tmp_path / f"raw-{position}", files)
        content = (raw / cut).read_bytes()
        (raw / cut).write_bytes(content[: len(content) - 12])
        try:
            import_source(name, raw, tmp_path / f"out-{position}")
        except InputError as error:
            assert cut.rpartition("/")[2] in str(error) or cut.endswith(".gz") is False
            assert not (tmp_path / f"out-{position}").exists()
        else:
            assert not cut.endswith(".gz")


def test_a_damaged_gzip_file_is_refused_in_one_line(tmp_path):
    files = public_data.amazon_2014()
    raw = write(tmp_path / "raw", files)
    content = bytearray(gzip.compress(files["reviews_Baby_5.json.gz"]))
    content[40] ^= 255
    (raw / "reviews_Baby_5.json.gz").write_bytes(bytes(content))
    with pytest.raises(InputError, match="a broken gzip file") as refusal:
        import_source("amazon-2014", raw, tmp_path / "out")
    assert refusal.value.where.endswith("reviews_Baby_5.json.gz")


@pytest.mark.parametrize(
    ("file", "content", "place", "message"),
    [
        ("ratings.dat", b"1::1::5\n", "line 1", "3 fields; expected 4 separated by '::'"),
        ("ratings.dat", b"1::1::5::9\n1::2::5::9::9\n", "line 2", "5 fields"),
        ("ratings.dat", b"1::1::5::9\n1::2::five::9\n", "record 2, column 'value'", "'five'; expected a number"),
        ("ratings.dat", b"1::1::5::x\n", "record 1, column 'timestamp'", "'x'"),
        ("ratings.dat", b"::1::5::9\n", "record 1", "no user_id"),
        ("ratings.dat", b"1\t1\t5\t9\n", "", "a tab; expected fields separated by ::"),
        ("movies.dat", b"1::A::B::C\n", "line 1", "4 fields"),
        ("movies.dat", b"::A::B\n", "record 1", "no item_id"),
    ],
)
def test_wrong_columns_are_refused_with_their_place(ratings, tmp_path, file, content, place, message):
    raw, _ = ratings
    (raw / file).write_bytes(content)
    with pytest.raises(InputError) as refusal:
        import_source("ml-1m", raw, tmp_path / "out")
    assert refusal.value.where == f"{raw / file}" + (f", {place}" if place else "")
    assert message in str(refusal.value)


def test_another_header_is_refused(tmp_path):
    raw = write(tmp_path / "raw", public_data.movielens_csv("ml-20m"))
    (raw / "ml-20m/ratings.csv").write_bytes(b"user,movie,rating\n1,1,5\n")
    with pytest.raises(
        InputError, match="columns user, movie, rating; expected columns userId, movieId, rating, timestamp"
    ):
        import_source("ml-20m", raw, tmp_path / "out")


@pytest.mark.parametrize(
    "line",
    [
        b"{'asin': __import__('os').system('echo bad')}",
        b"{'asin': 'a', 'title': " + b"(" * 500 + b")" * 500 + b"}",
        b"{'asin': " + b"-" * 100_000 + b"1}",
        b"{'asin': " + b"9" * 5000 + b"}",
        b"['asin']",
        b"{'title': 'no id'}",
        b"{'asin': 'a', 'categories': 5}",
        b"{'asin': 'a'",
        b"\xff\xfe",
        b"{'asin': 'a', 'title': 'x' * 10**9}",
    ],
)
def test_a_line_that_is_no_record_is_refused_and_never_executed(tmp_path, line, capfd):
    files = public_data.amazon_2014()
    files["meta_Baby.json.gz"] += b"\n" + line + b"\n"
    raw = write(tmp_path / "raw", files)
    with pytest.raises(InputError) as refusal:
        import_source("amazon-2014", raw, tmp_path / "out")
    assert refusal.value.where == f"{raw / 'meta_Baby.json.gz'}, line 5"
    assert "bad" not in capfd.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "line", [b"{}", b'{"reviewerID": "A1"}', b'{"reviewerID": "A1", "asin": ""}', b"nonsense", b"[1]"]
)
def test_a_review_without_ids_is_refused(tmp_path, line):
    files = public_data.amazon_2014()
    files["reviews_Baby_5.json.gz"] += line + b"\n"
    with pytest.raises(InputError, match=r"reviews_Baby_5.json.gz, (record|line) 6"):
        import_source("amazon-2014", write(tmp_path / "raw", files), tmp_path / "out")


def test_nothing_left_names_the_steps(ratings, tmp_path):
    raw, _ = ratings
    with pytest.raises(InputError, match=r"no interaction left .*rating >= 6: 0"):
        import_source("ml-1m", raw, tmp_path / "out", ImportOptions(min_rating=6))
    with pytest.raises(InputError, match=r"no interaction left .*99-core: 0"):
        import_source("ml-1m", raw, tmp_path / "out", ImportOptions(k_core=99))
    assert not (tmp_path / "out").exists()


def test_a_folder_with_several_categories_needs_a_choice(tmp_path):
    files = {"ratings_Baby.csv": b"A1,B1,5.0,1369699200\n", "ratings_Books.csv": b"A1,B2,5.0,1369699200\n"}
    raw = write(tmp_path / "raw", files)
    with pytest.raises(InputError, match="files of 2 parts: 'Baby', 'Books'; expected one of them"):
        import_source("amazon-2014", raw, tmp_path / "out")
    import_source("amazon-2014:Books", raw, tmp_path / "out")
    assert record(tmp_path / "out")["source"] == "amazon-2014:Books"


def test_an_output_folder_with_content_is_refused(ratings, tmp_path):
    raw, _ = ratings
    with pytest.raises(InputError, match="a new or empty folder"):
        import_source("ml-1m", raw, raw)


@pytest.mark.parametrize("write_copy", [write_table, write_mmrec])
def test_a_copy_says_where_the_data_come_from_and_what_was_done_to_them(ratings, tmp_path, write_copy):
    raw, _ = ratings
    import_source("ml-1m", raw, tmp_path / "out", ImportOptions(min_rating=2))
    original = record(tmp_path / "out")
    write_copy(load(tmp_path / "out", k_core=3), tmp_path / "copy")
    copy, read = record(tmp_path / "copy"), load(tmp_path / "copy")
    for name in ("source", "title", "licence", "page", "files", "options"):
        assert copy[name] == original[name]
    assert copy["steps"][:-1] == original["steps"]
    assert copy["steps"][-1]["interactions"] == len(read.train) + len(read.valid) + len(read.test)
    assert copy["users"] == len(read.users)
    assert [note for note in copy["notes"] if note.startswith("3-core")]
    assert any(note.startswith(f"imported from {original['title']} (ml-1m)") for note in read.notes)
    assert not any("import.json" in note for note in read.notes)
    again = tmp_path / "again"
    write_table(read, again)
    assert sum(note.startswith("split: ") and "random within each user" in note for note in record(again)["notes"]) == 1
    assert len(record(again)["steps"]) == len(original["steps"]) + 2


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "other"}', '{"format": "prismrec import 1"}'])
def test_an_import_json_of_another_program_is_only_listed(tmp_path, content):
    (tmp_path / "interactions.csv").write_text("user,item\na,b\na,c\n")
    (tmp_path / "import.json").write_text(content)
    assert read_import(tmp_path) is None
    assert "files not read: 'import.json'" in load(tmp_path).notes


def test_releases_in_other_layouts_are_written_as_tables(tmp_path):
    rows = "userID\titemID\tx_label\n0\t0\t0\n0\t1\t1\n1\t1\t0\n1\t2\t2\n"
    raw = write(tmp_path / "raw", {"baby.inter": rows.encode()})
    np.save(raw / "image_feat.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    import_source("mmrec", raw, tmp_path / "out")
    assert load(tmp_path / "out").fingerprint == load(raw).fingerprint
    assert record(tmp_path / "out")["source"] == "mmrec"
    assert record(tmp_path / "out")["files"].keys() == {"baby.inter", "image_feat.npy"}


def test_recbole_archives_are_found_by_the_name_of_the_part(tmp_path):
    rows = "user_id:token\titem_id:token\trating:float\n1\t1\t5\n1\t2\t3\n2\t1\t4\n"
    raw = write(tmp_path / "raw", {"ml-100k/ml-100k.inter": rows.encode()})
    import_source("recbole:ml-100k", raw, tmp_path / "out", ImportOptions(min_rating=4))
    assert len(load(tmp_path / "out").train) == 2


def test_the_mmrec_release_of_baby_is_imported_as_it_is(real_data, tmp_path):
    import_source("mmrec", real_data / "baby", tmp_path / "out")
    assert load(tmp_path / "out").fingerprint == load(real_data / "baby").fingerprint


def test_the_split_of_tiktok_keeps_its_features(real_data, tmp_path):
    import_source("mmrec", real_data / "tiktok", tmp_path / "out")
    assert load(tmp_path / "out").fingerprint == load(real_data / "tiktok").fingerprint


def test_halves_of_surrogate_pairs_are_joined_or_replaced_with_a_warning(tmp_path):
    files = public_data.steam()
    games = files["steam_games.json.gz"].replace(b"u'Ironbound'", b"u'Iron\\ud83d\\ude00 \\ud800'")
    raw = write(tmp_path / "raw", files | {"steam_games.json.gz": games})
    with pytest.warns(UserWarning, match="half a surrogate pair"):
        import_source("steam", raw, tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out/items.parquet")["title"][0] == "Iron😀 �"


@pytest.mark.parametrize(("file", "name"), [("ratings.dat", "user_id"), ("movies.dat", "item_id")])
def test_ids_with_nul_characters_are_refused(ratings, tmp_path, file, name):
    raw, _ = ratings
    (raw / file).write_bytes(b"1\0::1::5::9\n" if name == "user_id" else b"1\0::A::B\n")
    with pytest.raises(InputError, match=f"record 1: found {name} '1.x00'"):
        import_source("ml-1m", raw, tmp_path / "out", ImportOptions(all_items=True))


@pytest.mark.parametrize("file", ["ratings.dat", "movies.dat"])
def test_an_empty_file_is_refused(ratings, tmp_path, file):
    raw, _ = ratings
    (raw / file).write_bytes(b"")
    with pytest.raises(InputError, match=f"{file}: found an empty file"):
        import_source("ml-1m", raw, tmp_path / "out")


def test_unknown_escapes_in_literals_give_no_warning(tmp_path, recwarn):
    files = public_data.steam()
    games = files["steam_games.json.gz"].replace(b"u'Ironbound'", b"u'Iron\\|bound'")
    import_source("steam", write(tmp_path / "raw", files | {"steam_games.json.gz": games}), tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out/items.parquet")["title"][0] == "Iron\\|bound"
    assert not recwarn.list
