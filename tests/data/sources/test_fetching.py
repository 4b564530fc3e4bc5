"""The files of a whole source: archives unpacked, files that are there kept, one process at a time."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

from prismrec.data.sources import fetch, import_source, registry
from prismrec.data.sources.contract import Download, Source
from prismrec.data.sources.movielens import SOURCES
from prismrec.errors import InputError, ParameterError

from fuzzing import call
from public_data import movielens_1m

ML_1M = next(source for source in SOURCES if source.name == "ml-1m")


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        for name, data in movielens_1m().items():
            zipped.writestr(name, data)
    return content.getvalue()


@pytest.fixture
def own(site, monkeypatch):
    """A source `own` with the reader of MovieLens 1M, whose archive the server has."""
    site.content = archive()
    digest = hashlib.md5(site.content).hexdigest()
    item = Download(f"{site.address}/ml-1m.zip", len(site.content), f"md5:{digest}")
    source = Source(
        name="own", title="Own", licence="None.", page="https://own.example", read=ML_1M.read, measure="rating",
        downloads=lambda _part: (item,),
    )  # fmt: skip
    monkeypatch.setitem(registry._SOURCES, "own", source)
    return item


def test_what_is_fetched_can_be_imported(own, site, tmp_path):
    paths = fetch("own", tmp_path / "raw")
    assert paths == (tmp_path / "raw/ml-1m.zip",)
    assert import_source("own", tmp_path / "raw", tmp_path / "out").steps[-1].interactions == 3
    record = json.loads((tmp_path / "raw/fetch.json").read_text())["ml-1m.zip"]
    assert record["url"] == own.url
    assert record["sha256"] == hashlib.sha256(site.content).hexdigest()
    assert set(record["unpacked"]) == set(movielens_1m())


def test_a_second_call_downloads_nothing_and_repairs_what_was_unpacked(own, site, tmp_path):
    fetch("own", tmp_path)
    (tmp_path / "ml-1m/ratings.dat").unlink()
    fetch("own", tmp_path)
    assert len(site.requests) == 1
    assert (tmp_path / "ml-1m/ratings.dat").read_bytes() == movielens_1m()["ml-1m/ratings.dat"]


def test_a_file_that_the_user_brought_is_kept_if_it_is_the_documented_one(own, site, tmp_path):
    (tmp_path / "ml-1m.zip").write_bytes(site.content)
    fetch("own", tmp_path)
    assert not site.requests
    assert (tmp_path / "ml-1m/ratings.dat").exists()


def test_a_file_that_is_not_the_documented_one_is_refused_and_kept(own, tmp_path):
    (tmp_path / "ml-1m.zip").write_bytes(b"mine")
    with pytest.raises(InputError, match="remove the file to download it again"):
        fetch("own", tmp_path)
    assert (tmp_path / "ml-1m.zip").read_bytes() == b"mine"


def test_a_file_without_a_documented_checksum_must_be_the_one_that_was_downloaded(own, site, tmp_path, monkeypatch):
    plain = Download(f"{site.address}/ml-1m.zip")
    source = Source(name="own", title="", licence="", page="", read=ML_1M.read, downloads=lambda _part: (plain,))
    monkeypatch.setitem(registry._SOURCES, "own", source)
    fetch("own", tmp_path)
    content = bytearray((tmp_path / "ml-1m.zip").read_bytes())
    content[50] ^= 1
    (tmp_path / "ml-1m.zip").write_bytes(content)
    with pytest.raises(InputError, match="sha256"):
        fetch("own", tmp_path)


def test_a_damaged_archive_leaves_nothing_unpacked(own, site, tmp_path, monkeypatch):
    site.content = archive()[:-40]
    plain = Download(f"{site.address}/ml-1m.zip")
    source = Source(name="own", title="", licence="", page="", read=ML_1M.read, downloads=lambda _part: (plain,))
    monkeypatch.setitem(registry._SOURCES, "own", source)
    with pytest.raises(InputError, match="a complete zip or tar archive"):
        fetch("own", tmp_path)
    assert not (tmp_path / "ml-1m").exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"ml-1m.zip", "fetch.json", ".prismrec-fetch.lock"}


def test_two_processes_cannot_download_into_one_folder(own, tmp_path):
    with FileLock(tmp_path / ".prismrec-fetch.lock"), pytest.raises(InputError, match="another process"):
        fetch("own", tmp_path)


def test_only_files_of_the_source_stay(own, tmp_path):
    (tmp_path / ".prismrec-abc").mkdir()  # of a process that was killed while it unpacked
    fetch("own", tmp_path)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_mirror_serves_the_same_file(own, site, tmp_path):
    fetch("own", tmp_path, mirror=f"{site.address}/mirror")
    assert site.requests[0]["path"] == "/mirror/ml-1m.zip"


@pytest.mark.parametrize("name", ["hm", "yelp", "mmrec", "mmssl"])
def test_a_source_behind_a_login_says_where_to_get_its_files(tmp_path, name):
    with pytest.raises(InputError, match=r"you must download by hand; expected .+ from https://"):
        fetch(name, tmp_path)


@pytest.mark.parametrize("name", ["amazon-2014", "goodreads", "recbole"])
def test_a_source_with_parts_needs_one(tmp_path, name):
    with pytest.raises(ParameterError, match=f"a part, such as {name}:"):
        fetch(name, tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(own, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError):
        fetch("own", tmp_path / "raw")
    tmp_path.chmod(0o700)


def test_a_file_in_place_of_the_folder_is_refused(own, tmp_path):
    (tmp_path / "raw").write_text("")
    with pytest.raises(InputError, match=r"raw: found File exists"):
        fetch("own", tmp_path / "raw")


def test_every_download_has_an_address_and_a_well_formed_checksum():
    lengths = {"md5": 32, "sha256": 64}
    for source in registry.all_sources():
        assert bool(source.by_hand) != bool(source.downloads(source.parts[0] if source.parts else None)), source.name
        for part in source.parts or (None,):
            items = source.downloads(part)
            assert len({item.name for item in items}) == len(items)
            for item in items:
                assert item.url.startswith("http") and Path(item.name).suffix
                kind, _, digits = (item.checksum or "md5:" + "0" * 32).partition(":")
                assert len(digits) == lengths[kind]


def test_the_command_prints_the_files_and_the_next_step(own, tmp_path):
    done = call(["data", "fetch", "own", "--out", str(tmp_path / "raw"), "--quiet"])
    assert done.out.splitlines() == [
        f"{tmp_path / 'raw/ml-1m.zip'}: {own.size:,} bytes",
        f"Import them: prismrec data import own {tmp_path / 'raw'} --out FOLDER",
    ]
    assert call(["data", "import", "own", str(tmp_path / "raw"), "--out", str(tmp_path / "out")]).code == 0
    again = call(["data", "fetch", "own", "--out", str(tmp_path / "raw"), "--quiet"])
    assert (again.code, again.err) == (0, "")


def test_the_commands_end_with_exit_code_2_and_one_line(own, site, tmp_path):
    site.answers = [404]
    assert call(["data", "fetch", "own", "--out", str(tmp_path), "--quiet"]).code == 2
    assert call(["data", "fetch", "hm", "--out", str(tmp_path), "--quiet"]).code == 2
    assert call(["data", "import", "own", str(tmp_path), "--out", str(tmp_path / "out")]).code == 2
    assert call(["data", "sources", "nothing"]).code == 2
