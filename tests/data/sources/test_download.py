"""Downloads from a server on this machine that cuts connections, ignores ranges, changes files and lies."""

import hashlib
import json
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from prismrec.data.sources.contract import Download
from prismrec.data.sources.download import download
from prismrec.errors import InputError, ParameterError


def sha256(site: Any) -> str:
    return "sha256:" + hashlib.sha256(site.content).hexdigest()


def get(site: Any, folder: Path, checksum: str | None = None, name: str = "data.bin", size: int | None = None):
    return download(Download(f"{site.address}/{name}", size, checksum), folder, wait=0.001)


def test_a_file_arrives_whole_with_its_checksum(site, tmp_path):
    seen = []
    item = Download(f"{site.address}/a%20b.bin?x=1", len(site.content), sha256(site))
    fetched = download(item, tmp_path, progress=lambda *each: seen.append(each))
    assert (tmp_path / "a b.bin").read_bytes() == site.content
    assert fetched.sha256 == hashlib.sha256(site.content).hexdigest()
    assert (fetched.size, fetched.etag) == (len(site.content), '"one"')
    assert seen[-1] == ("a b.bin", len(site.content), len(site.content))
    assert [path.name for path in tmp_path.iterdir()] == ["a b.bin"]


@pytest.mark.parametrize("times", [1, 7])
def test_a_cut_connection_is_continued_where_it_ended(site, tmp_path, times):
    site.cuts = [100_000] * times
    get(site, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == site.content
    starts = [request.get("Range") for request in site.requests]
    assert starts == [None, *[f"bytes={100_000 * number}-" for number in range(1, times + 1)]]
    assert {request.get("If-Range") for request in site.requests[1:]} == {'"one"'}


def test_a_later_call_continues_what_an_earlier_one_left(site, tmp_path):
    site.cuts = [1_000_000, *[0] * 10]
    with pytest.raises(InputError, match="a cut after 1,000,000 of 3,000,000 bytes"):
        get(site, tmp_path)
    site.cuts = []
    get(site, tmp_path)
    assert site.requests[-1]["Range"] == "bytes=1000000-"
    assert (tmp_path / "data.bin").read_bytes() == site.content


def test_a_file_that_changed_between_two_tries_is_loaded_again_from_its_beginning(site, tmp_path):
    site.cuts = [1_000_000, *[0] * 10]
    with pytest.raises(InputError):
        get(site, tmp_path)
    site.cuts = []
    site.content = site.content[::-1]
    site.etag = '"two"'
    get(site, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == site.content


def test_a_server_that_continues_another_version_is_found_out_by_its_etag(site, tmp_path):
    site.conditions = False
    site.cuts = [1_000_000, *[0] * 10]
    with pytest.raises(InputError):
        get(site, tmp_path)
    site.cuts = []
    site.content = site.content[::-1]
    site.etag = '"two"'
    get(site, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == site.content


def test_a_server_that_ignores_ranges_is_asked_for_the_whole_file(site, tmp_path):
    site.ranges = False
    site.cuts = [1_000_000]
    get(site, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == site.content


def test_a_server_that_ignores_ranges_and_always_cuts_is_given_up(site, tmp_path):
    site.ranges = False
    site.cuts = [1_000_000] * 20
    with pytest.raises(InputError, match="5 times"):
        get(site, tmp_path)
    assert not (tmp_path / "data.bin").exists()
    assert len(site.requests) == 6


def test_last_modified_serves_where_there_is_no_strong_etag(site, tmp_path):
    site.etag = 'W/"weak"'
    site.modified = "Wed, 21 Oct 2015 07:28:00 GMT"
    site.cuts = [500_000]
    get(site, tmp_path)
    assert site.requests[-1]["If-Range"] == site.modified
    assert (tmp_path / "data.bin").read_bytes() == site.content


@pytest.mark.parametrize("documented", [False, True])
def test_without_a_version_only_a_documented_checksum_allows_to_continue(site, tmp_path, documented):
    site.etag = None
    site.cuts = [500_000]
    get(site, tmp_path, sha256(site) if documented else None)
    assert site.requests[-1].get("Range") == ("bytes=500000-" if documented else None)
    assert (tmp_path / "data.bin").read_bytes() == site.content


def test_another_range_than_asked_for_is_not_appended(site, tmp_path):
    site.shift = 10
    site.cuts = [500_000]
    get(site, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == site.content


def test_a_file_that_was_complete_but_not_yet_in_place_is_not_loaded_again(site, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(site.content)
    state = {"url": f"{site.address}/data.bin", "etag": '"one"', "modified": None}
    (tmp_path / "data.bin.part.json").write_text(json.dumps(state))
    get(site, tmp_path, sha256(site))
    assert (tmp_path / "data.bin").read_bytes() == site.content
    assert len(site.requests) == 1


def test_bytes_of_another_address_are_not_continued(site, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(b"other")
    state = {"url": "http://elsewhere/data.bin", "etag": '"one"', "modified": None}
    (tmp_path / "data.bin.part.json").write_text(json.dumps(state))
    get(site, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == site.content


def test_a_wrong_checksum_is_refused_and_leaves_nothing(site, tmp_path):
    with pytest.raises(InputError, match="md5") as refusal:
        get(site, tmp_path, "md5:" + "0" * 32)
    assert hashlib.md5(site.content).hexdigest() in refusal.value.found
    assert not list(tmp_path.iterdir())


def test_another_size_than_documented_is_refused_before_the_download(site, tmp_path):
    with pytest.raises(InputError, match="3,000,000 bytes; expected 5 bytes"):
        get(site, tmp_path, size=5)


def test_a_web_page_in_place_of_an_archive_is_refused(site, tmp_path):
    site.content = b"<html>please log in</html>"
    with pytest.raises(InputError, match=r"expected a \.gz file"):
        get(site, tmp_path, name="reviews.json.gz")
    assert not list(tmp_path.iterdir())


def test_an_answer_without_a_length_is_read_to_its_end(site, tmp_path):
    site.length = False
    get(site, tmp_path, sha256(site))
    assert (tmp_path / "data.bin").read_bytes() == site.content


def test_a_busy_server_is_asked_again_and_a_refusal_is_final(site, tmp_path):
    site.answers = [503, 429]
    get(site, tmp_path)
    assert len(site.requests) == 3
    site.answers = [404]
    with pytest.raises(InputError, match="404"):
        get(site, tmp_path, name="other.bin")
    assert len(site.requests) == 4


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/data.bin"])
def test_a_redirection_to_another_protocol_is_refused(site, tmp_path, target):
    site.answers = [302]
    site.location = target
    with pytest.raises(InputError, match="edirection to"):
        get(site, tmp_path)


def test_a_redirection_is_followed(site, tmp_path):
    site.answers = [302]
    site.location = "/moved/data.bin"
    get(site, tmp_path, sha256(site))
    assert site.requests[-1]["path"] == "/moved/data.bin"


def test_no_server_is_an_error_of_one_line(tmp_path):
    with pytest.raises(InputError, match="no answer"):
        download(Download("http://127.0.0.1:9/data.bin"), tmp_path, wait=0.001)


def test_a_mirror_replaces_the_folder_of_the_address(site, tmp_path):
    item = Download("https://publisher.example/deep/data.bin", checksum=sha256(site))
    fetched = download(item, tmp_path, mirror=f"{site.address}/copies/")
    assert site.requests[0]["path"] == "/copies/data.bin"
    assert fetched.url == f"{site.address}/copies/data.bin"
    with pytest.raises(ParameterError, match="mirror"):
        download(item, tmp_path, mirror="/local/folder")


def test_downloads_go_through_the_proxy_of_the_environment(site, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", site.address)
    monkeypatch.delenv("no_proxy", raising=False)
    download(Download("http://publisher.example/data.bin"), tmp_path)
    assert site.requests[0]["path"] == "http://publisher.example/data.bin"


def test_a_full_disk_is_refused_before_the_download(site, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10, 10, 1000)
    monkeypatch.setattr("prismrec.files.shutil.disk_usage", lambda _path: usage)
    with pytest.raises(InputError, match="1,000 bytes of free disk space; expected at least 3,000,000 bytes"):
        get(site, tmp_path)
    assert not (tmp_path / "data.bin.part").exists()
