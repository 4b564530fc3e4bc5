"""Pictures by address, from a server on this machine."""

import csv

import polars as pl
import pytest
from filelock import FileLock

from prismrec.content import encode
from prismrec.data.sources import fetch_pictures
from prismrec.errors import InputError, ParameterError

JPEG = b"\xff\xd8\xff\xe0 a picture"
PNG = b"\x89PNG\r\n\x1a\n another"


@pytest.fixture
def shop(site, tmp_path):
    """An item table with addresses: two pictures, one page, one dead end, none, no address, one twice."""
    site.files = {"/a.jpg": JPEG, "/b": PNG, "/page.jpg": b"<html>"}
    addresses = {
        "a/1": f"{site.address}/a.jpg",
        "b": f"{site.address}/b",
        "c": f"{site.address}/page.jpg",
        "d": f"{site.address}/gone.jpg",
        "e": None,
        ".f": "file:///etc/passwd",
        "g.h": f"{site.address}/a.jpg",
    }
    table = {"item_id": list(addresses), "image_url": list(addresses.values()), "title": ["x"] * 7}
    pl.DataFrame(table).write_parquet(tmp_path / "items.parquet")
    return tmp_path


def images(folder):
    return dict(pl.read_parquet(folder / "items.parquet").select("item_id", "image").iter_rows())


def test_pictures_are_named_in_the_item_table_and_failures_are_listed(shop):
    seen = []
    counts = fetch_pictures(shop, progress=lambda *each: seen.append(each), wait=0.001)
    assert (counts.present, counts.downloaded, counts.failed, counts.without_address) == (0, 3, 3, 1)
    found = images(shop)
    assert found == {
        **dict.fromkeys(["c", "d", "e", ".f"]),
        "a/1": "images/a%2F1.jpg",
        "b": "images/b.png",
        "g.h": "images/g.h.jpg",
    }
    assert (shop / found["a/1"]).read_bytes() == JPEG
    assert (shop / found["b"]).read_bytes() == PNG
    with (shop / "images/failed.csv").open(newline="") as file:
        reasons = {row["item_id"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons.keys() == {"c", "d", ".f"}
    assert "404" in reasons["d"] and "<html>" in reasons["c"] and "file:///" in reasons[".f"]
    assert seen[-1] == (6, 6)


def test_a_later_call_asks_only_for_what_is_missing(shop, site):
    fetch_pictures(shop, wait=0.001)
    site.files["/gone.jpg"] = JPEG
    before = len(site.requests)
    counts = fetch_pictures(shop, wait=0.001)
    assert (counts.present, counts.downloaded, counts.failed) == (3, 1, 2)
    assert [request["path"] for request in site.requests[before:]] != []
    assert {request["path"] for request in site.requests[before:]} == {"/page.jpg", "/gone.jpg"}
    assert images(shop)["d"] == "images/d.jpg"


def test_one_process_at_a_time_downloads_pictures_into_a_folder(shop):
    (shop / "images").mkdir()
    with FileLock(shop / "images" / ".lock"), pytest.raises(InputError, match="another process"):
        fetch_pictures(shop, wait=0)
    fetch_pictures(shop, wait=0)
    assert not (shop / "images" / ".lock").exists()


def test_a_cut_picture_is_asked_for_again(shop, site):
    site.files = {}
    site.content = JPEG * 100
    site.cuts = [50]
    addresses = pl.DataFrame({"item_id": ["a"], "image_url": [f"{site.address}/a.jpg"]})
    addresses.write_parquet(shop / "items.parquet")
    assert fetch_pictures(shop, wait=0.001).downloaded == 1
    assert (shop / "images/a.jpg").read_bytes() == JPEG * 100


def test_addresses_that_give_nothing_are_given_up(shop, site):
    ids = [str(number) for number in range(200)]
    table = pl.DataFrame({"item_id": ids, "image_url": [f"{site.address}/none"] * 200})
    table.write_parquet(shop / "items.parquet")
    with pytest.raises(InputError, match=r"50 failures and no picture: the answer 404"):
        fetch_pictures(shop, workers=1, wait=0.001)
    assert pl.read_parquet(shop / "items.parquet").equals(table)


def test_a_folder_without_addresses_is_refused(shop, tmp_path):
    with pytest.raises(ParameterError, match="column: found 'url'; expected one of: 'item_id', 'image_url', 'title'"):
        fetch_pictures(shop, column="url")
    with pytest.raises(ParameterError, match="workers"):
        fetch_pictures(shop, workers=0)
    with pytest.raises(InputError, match="a folder that prismrec data import wrote"):
        fetch_pictures(tmp_path / "nowhere")


def test_features_finds_the_downloaded_pictures(shop, site):
    pillow = pytest.importorskip("PIL.Image")
    for name, colour in (("/a.jpg", "red"), ("/b", "blue")):
        pillow.new("RGB", (40, 40), colour).save(shop / "picture.png")
        site.files[name] = (shop / "picture.png").read_bytes()
    (shop / "picture.png").unlink()
    fetch_pictures(shop, wait=0.001)
    pl.DataFrame({"user_id": ["u", "v"], "item_id": ["b", "g.h"]}).write_parquet(shop / "interactions.parquet")
    encoded = encode(shop, image=["image"], encoders={"image": "histograms"})
    assert encoded["image"].manifest.encoded == 3
