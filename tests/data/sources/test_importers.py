"""What is read from the files of each source. The files are our own, in exactly the documented formats."""

import numpy as np
import polars as pl
import pytest

from prismrec.data import load
from prismrec.data.sources import ImportOptions, all_sources, import_source
from prismrec.errors import InputError

import public_data
from public_data import write


@pytest.fixture
def imported(tmp_path):
    """Import files, and return the folder that was written."""

    def run(name, files, **options):
        raw = write(tmp_path / "raw", files)
        out = tmp_path / "out"
        import_source(name, raw, out, ImportOptions(**options))
        return out

    return run


def table(folder, name):
    return pl.read_parquet(folder / f"{name}.parquet")


def seconds(folder):
    return table(folder, "interactions")["timestamp"].dt.epoch("ms").to_list()


def row(frame, identifier):
    return frame.row(by_predicate=pl.nth(0) == identifier, named=True)


def test_every_source_with_a_reader_is_tested_here():
    with_reader = {source.name for source in all_sources() if source.layout is None}
    assert with_reader - set(public_data.ALL) == {"mind-large"}


@pytest.mark.parametrize("name", public_data.ALL)
def test_what_is_imported_loads_and_says_where_it_comes_from(imported, name):
    folder = imported(name, public_data.ALL[name])
    dataset = load(folder)
    assert len(dataset.train) == table(folder, "interactions").height
    assert dataset.notes[0].startswith("imported from")
    assert name in dataset.notes[0]
    assert not any("files not read" in note for note in dataset.notes)
    assert table(folder, "items").columns[0] == "item_id"


def test_amazon_2014_reads_json_reviews_and_python_literals_of_items(imported):
    folder = imported("amazon-2014", public_data.amazon_2014())
    pairs = [("A1", "097293751X", 5.0), ("A1", "B000000002", 3.0), ("A2", "097293751X", 4.0), ("A2", "B000000003", 1.0)]
    assert table(folder, "interactions").select("user_id", "item_id", "rating").rows() == pairs
    assert seconds(folder) == [1000 * (1373328000 + 86400 * day) for day in range(4)]
    item = row(table(folder, "items"), "097293751X")
    assert item == {
        "item_id": "097293751X",
        "title": 'Baby\'s First "Book"',
        "description": "Line one\nand it's two",
        "brand": "Ökö",
        "categories": "Baby > Gifts; Books",
        "price": "3.17",
        "image_url": "http://ecx.images-amazon.com/images/I/51.jpg",
    }


def test_amazon_2014_reads_the_image_features_of_items_with_interactions(imported):
    dataset = load(imported("amazon-2014", public_data.amazon_2014()))
    expected = np.arange(3 * 4096, dtype=np.float32).reshape(3, 4096) / np.float32(7)
    assert dataset.items.ids.to_list() == ["097293751X", "B000000002", "B000000003"]
    np.testing.assert_array_equal(dataset.present["image"], [True, True, False])
    np.testing.assert_array_equal(dataset.features["image"][:2], expected[[0, 2]])


def test_amazon_2014_reads_ratings_alone(imported):
    files = {"ratings_Baby.csv": b"A1,B000000002,5.0,1369699200\nA2,B000000002,3.0,1355443200\n"}
    folder = imported("amazon-2014", files)
    assert table(folder, "interactions").select("user_id", "item_id", "rating").rows() == [
        ("A1", "B000000002", 5.0),
        ("A2", "B000000002", 3.0),
    ]
    assert not (folder / "items.parquet").exists()


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content + b"\0"])
def test_truncated_image_features_are_refused(imported, damage):
    files = public_data.amazon_2014()
    files["image_features_Baby.b"] = damage(files["image_features_Baby.b"])
    with pytest.raises(InputError, match="bytes after record"):
        imported("amazon-2014", files)


def test_image_features_that_are_not_finite_are_refused_with_their_record(imported):
    files = public_data.amazon_2014()
    content = bytearray(files["image_features_Baby.b"])
    content[16394 + 10 : 16394 + 14] = np.float32("nan").tobytes()
    files["image_features_Baby.b"] = bytes(content)
    with pytest.raises(InputError, match="record 2: found a number that is not finite"):
        imported("amazon-2014", files)


def test_amazon_2018_reads_json_and_keeps_the_first_of_repeated_items(imported):
    folder = imported("amazon-2018", public_data.amazon_2018())
    assert table(folder, "interactions")["rating"].to_list() == [5.0, 2.0, 4.0]
    item = row(table(folder, "items"), "B00005MDZ8")
    assert item["title"] == "Reason Magazine"
    assert item["description"] == "REASON is edited for people.\nSecond paragraph"
    assert item["categories"] == "Magazine Subscriptions > Fashion"
    assert item["image_url"] == "https://images-na.ssl-images-amazon.com/images/I/51.jpg"
    assert item["brand"] is None


def test_ratings_of_2018_name_the_item_before_the_user(imported):
    folder = imported("amazon-2018", {"Software.csv": b"0077613252,A3NSAW,4.0,1394496000\n"})
    assert table(folder, "interactions").select("user_id", "item_id").rows() == [("A3NSAW", "0077613252")]


def test_amazon_2023_counts_variants_as_one_item_and_keeps_milliseconds(imported):
    folder = imported("amazon-2023", public_data.amazon_2023())
    assert sorted(seconds(folder)) == [1588687728923, 1588687728924, 1588687728925]
    assert table(folder, "items")["item_id"].to_list() == ["B00YQ6X8EO", "B081TJ8YS3"]
    item = row(table(folder, "items"), "B00YQ6X8EO")
    assert item["image_url"] == "https://m.media-amazon.com/1.jpg"
    assert (item["price"], item["features"]) == ("12.99", "Natural\nSoft")
    assert row(table(folder, "items"), "B081TJ8YS3")["image_url"] is None


def test_amazon_2023_reads_ratings_alone(imported):
    ratings = b"user_id,parent_asin,rating,timestamp\nAGKASB,B006GBITXC,3.0,1452647382000\n"
    folder = imported("amazon-2023", {"Toys_and_Games.csv.gz": ratings})
    assert table(folder, "interactions").select("user_id", "item_id", "rating").rows() == [("AGKASB", "B006GBITXC", 3)]
    assert seconds(folder) == [1452647382000]


def test_movielens_100k_reads_latin_1_genres_and_users(imported):
    folder = imported("ml-100k", public_data.movielens_100k())
    items = table(folder, "items")
    assert items["title"].to_list() == ["Toy Story (1995)", "Misérables, Les (1995)"]
    assert items["genres"].to_list() == ["Animation|Children's|Comedy", "unknown"]
    assert row(table(folder, "users"), "196")["occupation"] == "writer"
    assert seconds(folder) == [891717742000, 881250949000, 881250950000]


def test_movielens_1m_reads_double_colons_and_names_occupations(imported):
    folder = imported("ml-1m", public_data.movielens_1m())
    assert table(folder, "interactions").select("user_id", "item_id", "rating").rows() == [
        ("1", "1", 5.0),
        ("1", "73", 3.0),
        ("2", "1", 4.0),
    ]
    assert table(folder, "items")["title"].to_list() == ["Toy Story (1995)", "Misérables, Les (1995)"]
    assert table(folder, "users")["occupation"].to_list() == ["K-12 student", "self-employed"]


def test_movielens_10m_is_utf_8_with_half_stars(imported):
    folder = imported("ml-10m", public_data.movielens_10m())
    assert table(folder, "interactions")["rating"].to_list() == [5.0, 4.5, 0.5]
    assert table(folder, "items")["title"].to_list() == ["Amélie (2001)", "Net, The (1995)"]


@pytest.mark.parametrize("name", ["ml-20m", "ml-25m", "ml-32m", "ml-latest-small"])
def test_later_movielens_read_quoted_titles(imported, name):
    folder = imported(name, public_data.movielens_csv(name))
    assert table(folder, "items")["title"].to_list() == ["Toy Story (1995)", "American President, The (1995)"]
    assert seconds(folder) == [964982703000, 964981247000, 964982224000]


def test_posters_that_the_user_has_are_taken_along(imported):
    files = public_data.movielens_1m() | {"posters/1.jpg": b"\xff\xd8one", "posters/4.jpg": b"\xff\xd8four"}
    folder = imported("ml-1m", files)
    assert table(folder, "items")["image"].to_list() == ["images/1.jpg", None]
    assert (folder / "images/1.jpg").read_bytes() == b"\xff\xd8one"
    assert not (folder / "images/4.jpg").exists()


def test_movielens_is_read_from_the_folder_of_the_archive_too(imported, tmp_path):
    raw = write(tmp_path / "raw", public_data.movielens_1m())
    import_source("ml-1m", raw / "ml-1m", tmp_path / "out")
    assert table(tmp_path / "out", "interactions").height == 3


def test_lastfm_reads_play_counts_and_the_most_frequent_tags(imported):
    folder = imported("lastfm", public_data.lastfm())
    assert table(folder, "interactions")["plays"].to_list() == [13883.0, 11690.0, 7.0]
    assert table(folder, "items")["title"].to_list() == ["MALICE MIZER", '"Weird" Björk']
    assert table(folder, "items")["tags"].to_list() == ["visual kéi, metal", None]
    assert "timestamp" not in table(folder, "interactions").columns


@pytest.mark.parametrize("name", ["microlens-50k", "microlens-100k"])
def test_microlens_reads_titles_with_and_without_a_header(imported, name):
    folder = imported(name, public_data.ALL[name])
    title = "Cats, dogs\nand more" if name == "microlens-50k" else "Cats, dogs"
    item = row(table(folder, "items"), "101")
    assert item["title"] == title
    expected = (
        {"likes": "5", "views": "50", "image": "images/101.jpg"} if name == "microlens-50k" else {"category": "Pets"}
    )
    assert item.items() >= expected.items()
    assert seconds(folder) == [1583378629552, 1584541662617, 1583378629553]


def test_mind_reads_clicks_of_both_logs(imported):
    folder = imported("mind-small", public_data.mind_small())
    assert table(folder, "interactions").select("user_id", "item_id").rows() == [
        ("U1", "N1"),
        ("U1", "N2"),
        ("U2", "N2"),
    ]
    assert seconds(folder) == [1573463158000, 1573776000000, 1573582290000]
    assert row(table(folder, "items"), "N1")["title"] == 'The "Brands" Queen\'s Swear By'
    assert row(table(folder, "items"), "N2")["description"] is None


def test_mind_reads_the_clicks_before_the_log_if_asked(imported):
    folder = imported("mind-small", public_data.mind_small(), history=True)
    pairs = table(folder, "interactions").select("user_id", "item_id").rows()
    assert pairs == [("U1", "N1"), ("U1", "N2"), ("U1", "N3"), ("U2", "N2")]
    assert seconds(folder) == [1573463158000, 1573463158000, 1573463158000, 1573582290000]


def test_the_test_log_of_mind_is_refused_because_it_has_no_clicks(imported):
    files = public_data.mind_small()
    files["MINDsmall_dev/behaviors.tsv"] = b"1\tU1\t11/15/2019 12:00:00 AM\tN3\tN2 N1\n"
    with pytest.raises(InputError, match="without -0 or -1: 'N2'"):
        imported("mind-small", files)


def test_hm_restores_the_leading_zero_of_articles_and_links_pictures(imported):
    folder = imported("hm", public_data.hm())
    assert table(folder, "interactions").select("user_id", "item_id").rows() == [
        ("000058a1", "0108775015"),
        ("000058a1", "0663713001"),
        ("00007d2d", "0663713001"),
    ]
    items = table(folder, "items")
    assert items["title"].to_list() == ["Strap top", 'Atlanta "Push" body']
    assert items["image"].to_list() == ["images/0108775015.jpg", None]
    assert table(folder, "users")["age"].to_list() == ["49", "25"]
    assert any("1 article ids with less than ten digits" in note for note in load(folder).notes)


def test_yelp_reads_reviews_businesses_and_users(imported):
    folder = imported("yelp", public_data.yelp())
    assert table(folder, "interactions")["rating"].to_list() == [5.0, 3.0, 1.0]
    assert seconds(folder) == [1531001351000, 1531001350000, 1531001352000]
    item = row(table(folder, "items"), "XQf")
    assert (item["title"], item["categories"], item["review_count"]) == (
        "Turning Point",
        "Restaurants, Breakfast & Brunch",
        169,
    )
    assert table(folder, "users")["review_count"].to_list() == [33, 33]


def test_steam_reads_literals_of_python_2(imported):
    folder = imported("steam", public_data.steam())
    assert table(folder, "interactions").select("user_id", "item_id", "hours").rows() == [
        ("Chaos Syren", "328100", None),
        ("Chaos Syren", "725280", 0.1),
        ("₮ʜᴇ 'Warrior'", "328100", 51.1),
    ]
    items = table(folder, "items")
    assert items["title"].to_list() == ["Ironbound", "Lost Summoner Kitty"]
    assert items["price"].to_list() == ["Free To Play", "4.99"]


def test_goodreads_reads_shelves_and_their_times(imported):
    folder = imported("goodreads", public_data.goodreads())
    assert table(folder, "interactions").select("user_id", "item_id", "rating").rows() == [
        ("88a", "6565837", 5.0),
        ("88a", "27036533", None),
        ("88b", "6565837", 2.0),
    ]
    assert seconds(folder) == [1503008121000, 1503008120000, 1503008122000]
    assert row(table(folder, "items"), "27036533")["shelves"] == "picture-books, ducks"
