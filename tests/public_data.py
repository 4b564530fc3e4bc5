"""Small files in exactly the formats of public data sets. The content is our own."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

Files = dict[str, bytes]


def write(folder: Path, files: Files) -> Path:
    """Write files; names that end in .gz are compressed."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder


def json_lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def literals(records: list[dict[str, Any]]) -> bytes:
    """One dict per line, as Python 3 writes it."""
    return b"".join(repr(record).encode() + b"\n" for record in records)


def old_literals(records: list[dict[str, Any]]) -> bytes:
    """One dict per line, as Python 2 writes it: text is u'…' in ASCII."""

    def old(value: object) -> str:
        if isinstance(value, str):
            return "u" + ascii(value)
        if isinstance(value, dict):
            return "{" + ", ".join(f"{old(key)}: {old(each)}" for key, each in value.items()) + "}"
        return "[" + ", ".join(map(old, value)) + "]" if isinstance(value, list) else repr(value)

    return b"".join(old(record).encode() + b"\n" for record in records)


def amazon_2014() -> Files:
    """Five reviews, one pair twice; three items in the metadata, one of them without a review; one item without any."""
    events = [("A1", "097293751X", 5), ("A1", "B000000002", 3), ("A2", "097293751X", 4), ("A2", "B000000003", 1)]
    events.append(("A1", "097293751X", 2))
    reviews = [
        {
            "reviewerID": user,
            "asin": item,
            "reviewerName": 'Jo "J" O\'Neil',
            "helpful": [0, 1],
            "reviewText": "Fits\nwell, café ☕ {'asin': 'no'}",
            "overall": float(rating),
            "summary": "ok",
            "unixReviewTime": 1373328000 + 86400 * day,
            "reviewTime": "07 9, 2013",
        }
        for day, (user, item, rating) in enumerate(events)
    ]
    items: list[dict[str, Any]] = [
        {
            "asin": "097293751X",
            "title": 'Baby\'s First "Book"',
            "price": 3.17,
            "imUrl": "http://ecx.images-amazon.com/images/I/51.jpg",
            "related": {"also_bought": ["B000000002"]},
            "salesRank": {"Baby": 7},
            "brand": "Ökö",
            "categories": [["Baby", "Gifts"], ["Books"]],
            "description": "Line one\nand it's two",
        },
        {"asin": "B000000002", "categories": [["Baby"]]},
        {"asin": "B000000009", "title": "nobody bought this", "categories": [["Baby"]]},
    ]
    vectors = np.arange(3 * 4096, dtype="<f4").reshape(3, 4096) / 7
    asins = [b"097293751X", b"B000000009", b"B000000002"]
    return {
        "reviews_Baby_5.json.gz": json_lines(reviews),
        "meta_Baby.json.gz": literals(items),
        "image_features_Baby.b": b"".join(asin + vector.tobytes() for asin, vector in zip(asins, vectors, strict=True)),
    }


def amazon_2018() -> Files:
    events = [("A1", "B00005MDZ8", 5), ("A1", "B00005MEFU", 2), ("A2", "B00005MDZ8", 4)]
    reviews = [
        {
            "overall": float(rating),
            "vote": "25",
            "verified": True,
            "reviewTime": "11 24, 2013",
            "reviewerID": user,
            "asin": item,
            "style": {"Format:": " Kindle"},
            "reviewerName": "B. Ann",
            "reviewText": "good",
            "summary": "Five Stars",
            "unixReviewTime": 1385251200 + day,
            "image": ["https://images-na.ssl-images-amazon.com/images/I/71.jpg"],
        }
        for day, (user, item, rating) in enumerate(events)
    ]
    item = {
        "category": ["Magazine Subscriptions", "Fashion"],
        "tech1": "",
        "description": ["REASON is edited for people.", "Second paragraph"],
        "fit": "",
        "title": "Reason Magazine",
        "also_buy": ["B002PXVYLE"],
        "tech2": "",
        "brand": "",
        "feature": ["monthly"],
        "rank": [],
        "also_view": [],
        "details": {},
        "main_cat": "Magazine Subscriptions",
        "similar_item": "",
        "date": "",
        "price": "$1.99",
        "asin": "B00005MDZ8",
        "imageURL": ["https://images-na.ssl-images-amazon.com/images/I/51._US40_.jpg"],
        "imageURLHighRes": ["https://images-na.ssl-images-amazon.com/images/I/51.jpg"],
    }
    again = {**item, "title": "the same item once more"}
    return {
        "Magazine_Subscriptions_5.json.gz": json_lines(reviews),
        "meta_Magazine_Subscriptions.json.gz": json_lines([item, again]),
    }


def amazon_2023() -> Files:
    events = [("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B00YQ6X8EO", 5), ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B081TJ8YS3", 3)]
    events.append(("AFXF3EGQTQDXMRLDWFU7UBFQZB7Q", "B00YQ6X8EO", 1))
    reviews = [
        {
            "rating": float(rating),
            "title": "Such a lovely scent",
            "text": "This spray is really nice.<br />Yes",
            "images": [{"small_image_url": "https://m.media-amazon.com/images/I/1._SL256_.jpg"}],
            "asin": f"B0VARIANT{number}",
            "parent_asin": item,
            "user_id": user,
            "timestamp": 1588687728923 + number,
            "helpful_vote": 0,
            "verified_purchase": True,
        }
        for number, (user, item, rating) in enumerate(events)
    ]
    item = {
        "main_category": "All Beauty",
        "title": "Howard LC0008 Leather Conditioner",
        "average_rating": 4.8,
        "rating_number": 10,
        "features": ["Natural", "Soft"],
        "description": ["Cleans", "and conditions"],
        "price": 12.99,
        "images": [
            {
                "thumb": "https://m.media-amazon.com/t2.jpg",
                "large": "https://m.media-amazon.com/2.jpg",
                "variant": "PT01",
                "hi_res": None,
            },
            {
                "thumb": "https://m.media-amazon.com/t1.jpg",
                "large": "https://m.media-amazon.com/1.jpg",
                "variant": "MAIN",
                "hi_res": None,
            },
        ],
        "videos": [],
        "store": "Howard Products",
        "categories": ["Beauty", "Leather"],
        "details": {"Package Dimensions": "7.1 x 5.5 inches"},
        "parent_asin": "B00YQ6X8EO",
        "bought_together": None,
    }
    bare = {**item, "parent_asin": "B081TJ8YS3", "price": None, "images": [], "categories": [], "store": None}
    return {"All_Beauty.jsonl.gz": json_lines(reviews), "meta_All_Beauty.jsonl.gz": json_lines([item, bare])}


def movielens_100k() -> Files:
    marks = {1: "0|0|0|1|1|1" + "|0" * 13, 2: "1" + "|0" * 18}
    movies = [
        f"1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story|{marks[1]}",
        f"2|Misérables, Les (1995)|01-Jan-1995|||{marks[2]}",
    ]
    return {
        "ml-100k/u.data": b"196\t1\t3\t881250949\n186\t1\t5\t891717742\n196\t2\t1\t881250950\n",
        "ml-100k/u.item": ("\n".join(movies) + "\n").encode("latin-1"),
        "ml-100k/u.user": b"186|39|F|executive|00000\n196|49|M|writer|55105\n",
    }


def movielens_1m() -> Files:
    movies = "1::Toy Story (1995)::Animation|Children's|Comedy\n73::Misérables, Les (1995)::Drama|Musical\n"
    return {
        "ml-1m/ratings.dat": b"1::1::5::978300760\n1::73::3::978302109\n2::1::4::978298413\n",
        "ml-1m/movies.dat": movies.encode("latin-1"),
        "ml-1m/users.dat": b"1::F::1::10::48067\n2::M::56::16::70072\n",
    }


def movielens_10m() -> Files:
    return {
        "ml-10M100K/ratings.dat": b"1::122::5::838985046\n1::185::4.5::838983525\n2::122::0.5::838983392\n",
        "ml-10M100K/movies.dat": "122::Amélie (2001)::Comedy|Romance\n185::Net, The (1995)::Action\n".encode(),
    }


def movielens_csv(name: str) -> Files:
    movies = 'movieId,title,genres\n1,Toy Story (1995),Adventure|Animation\n11,"American President, The (1995)",Drama\n'
    ratings = "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,11,0.5,964981247\n2,1,5.0,964982224\n"
    return {
        f"{name}/ratings.csv": ratings.encode(),
        f"{name}/movies.csv": movies.encode(),
        f"{name}/tags.csv": b"userId,movieId,tag,timestamp\n2,1,funny,1445714994\n",
    }


def lastfm() -> Files:
    folder = "hetrec2011-lastfm-2k"
    artists = "id\tname\turl\tpictureURL\n1\tMALICE MIZER\thttp://www.last.fm/music/MALICE+MIZER\thttp://a.jpg\n"
    artists += '2\t"Weird" Björk\thttp://www.last.fm/music/Bj%C3%B6rk\t\n'
    tagged = (
        "userID\tartistID\ttagID\tday\tmonth\tyear\n2\t1\t1\t1\t4\t2009\n3\t1\t2\t1\t4\t2009\n4\t1\t2\t1\t4\t2009\n"
    )
    return {
        f"{folder}/user_artists.dat": b"userID\tartistID\tweight\r\n2\t1\t13883\r\n2\t2\t11690\r\n3\t1\t7\r\n",
        f"{folder}/artists.dat": artists.encode(),
        f"{folder}/tags.dat": "tagID\ttagValue\n1\tmetal\n2\tvisual kéi\n".encode("latin-1"),
        f"{folder}/user_taggedartists.dat": tagged.encode(),
    }


def microlens_50k() -> Files:
    pairs = b"user,item,timestamp\n1,101,1583378629552\n1,102,1584541662617\n2,101,1583378629553\n"
    return {
        "MicroLens-50k_pairs.csv": pairs,
        "MicroLens-50k_titles.csv": b'item,title\n101,"Cats, dogs\nand more"\n102,Dance\n',
        "MicroLens-50k_likes_and_views.txt": b"101\t5\t50\n102\t7\t70\n",
        "MicroLens-50k_covers/101.jpg": b"\xff\xd8cover",
    }


def microlens_100k() -> Files:
    return {
        "MicroLens-100k_pairs.csv": microlens_50k()["MicroLens-50k_pairs.csv"],
        "MicroLens-100k_title_en.csv": b'101,"Cats, dogs"\n102,Dance\n',
        "tags_to_summary.csv": b"101,Pets\n102,Dance\n",
    }


def mind_small() -> Files:
    news = [
        'N1\tlifestyle\troyals\tThe "Brands" Queen\'s Swear By\tShop the notebooks\thttps://a.html\t[]\t[]',
        "N2\tsports\tgolf\tBirdie\t\thttps://b.html\t[]\t[]",
        "N3\tnews\tworld\tBefore\tabstract\thttps://c.html\t[]\t[]",
    ]
    train = "1\tU1\t11/11/2019 9:05:58 AM\tN3 N2\tN1-1 N2-0\n2\tU2\t11/12/2019 6:11:30 PM\t\tN1-0 N2-1\n"
    return {
        "MINDsmall_train/behaviors.tsv": train.encode(),
        "MINDsmall_train/news.tsv": "\n".join(news).encode() + b"\n",
        "MINDsmall_dev/behaviors.tsv": b"1\tU1\t11/15/2019 12:00:00 AM\tN3\tN2-1 N1-0\n",
        "MINDsmall_dev/news.tsv": news[1].encode() + b"\n",
    }


def hm() -> Files:
    header = (
        "article_id,product_code,prod_name,product_type_no,product_type_name,product_group_name,"
        "graphical_appearance_no,graphical_appearance_name,colour_group_code,colour_group_name,"
        "perceived_colour_value_id,perceived_colour_value_name,perceived_colour_master_id,"
        "perceived_colour_master_name,department_no,department_name,index_code,index_name,index_group_no,"
        "index_group_name,section_no,section_name,garment_group_no,garment_group_name,detail_desc\n"
    )
    article = (
        "0108775015,0108775,Strap top,253,Vest top,Garment Upper body,1010016,Solid,09,Black,4,Dark,5,Black,1676,"
        'Jersey Basic,A,Ladieswear,1,Ladieswear,16,Womens Everyday Basics,1002,Jersey Basic,"Jersey top, narrow"\n'
    )
    other = article.replace("0108775015,0108775,Strap top", '0663713001,0663713,"Atlanta ""Push"" body"')
    purchases = (
        "t_dat,customer_id,article_id,price,sales_channel_id\n"
        "2018-09-20,000058a1,0663713001,0.0508305084745762,2\n"
        "2018-09-21,000058a1,108775015,0.0304915254237288,2\n"
        "2018-09-20,00007d2d,0663713001,0.0152372881355932,1\n"
    )
    customers = (
        "customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code\n"
        "000058a1,,,ACTIVE,NONE,49,52043e\n00007d2d,1,1,ACTIVE,Regularly,25,2973ab\n"
    )
    return {
        "transactions_train.csv": purchases.encode(),
        "articles.csv": (header + article + other).encode(),
        "customers.csv": customers.encode(),
        "images/010/0108775015.jpg": b"\xff\xd8picture",
    }


def yelp() -> Files:
    reviews = [
        {
            "review_id": f"r{n}",
            "user_id": user,
            "business_id": item,
            "stars": stars,
            "useful": 0,
            "funny": 0,
            "cool": 0,
            "text": "If you decide\nto eat",
            "date": f"2018-07-07 22:09:1{n}",
        }
        for n, (user, item, stars) in enumerate([("mh_", "XQf", 3.0), ("OyoG", "XQf", 5.0), ("mh_", "YjU", 1.0)])
    ]
    business = {
        "business_id": "XQf",
        "name": "Turning Point",
        "address": "1460 Bethlehem Pike",
        "city": "North Wales",
        "state": "PA",
        "postal_code": "19454",
        "latitude": 40.2,
        "longitude": -75.2,
        "stars": 3.0,
        "review_count": 169,
        "is_open": 1,
        "attributes": {"NoiseLevel": "u'average'"},
        "categories": "Restaurants, Breakfast & Brunch",
        "hours": {"Monday": "7:30-15:0"},
    }
    bare = {**business, "business_id": "YjU", "attributes": None, "categories": None, "hours": None}
    user = {
        "user_id": "mh_",
        "name": "Ann",
        "review_count": 33,
        "yelping_since": "2012-01-01 00:00:00",
        "average_stars": 3.9,
        "friends": "a, b",
    }
    return {
        "yelp_academic_dataset_review.json": json_lines(reviews),
        "yelp_academic_dataset_business.json": json_lines([business, bare]),
        "yelp_academic_dataset_user.json": json_lines([user, {**user, "user_id": "OyoG"}]),
    }


def steam() -> Files:
    reviews: list[dict[str, Any]] = [
        {
            "username": "Chaos Syren",
            "hours": 0.1,
            "products": 41,
            "product_id": "725280",
            "page_order": 0,
            "date": "2017-12-17",
            "text": 'Don\'t "buy" ☹',
            "early_access": False,
            "page": 1,
        },
        {
            "username": "₮ʜᴇ 'Warrior'",
            "hours": 51.1,
            "products": 769,
            "product_id": "328100",
            "page_order": 0,
            "date": "2017-11-17",
            "text": "ok",
            "early_access": False,
            "page": 1,
            "user_id": "76561198030408772",
        },
        {
            "username": "Chaos Syren",
            "product_id": "328100",
            "page_order": 1,
            "date": "2017-12-18",
            "text": "",
            "early_access": True,
            "page": 1,
            "found_funny": 2,
            "compensation": "Product received for free",
        },
    ]
    games: list[dict[str, Any]] = [
        {
            "publisher": "Kotoshiro",
            "genres": ["Action", "Casual"],
            "app_name": "Lost Summoner Kitty",
            "title": "Lost Summoner Kitty",
            "url": "http://store.steampowered.com/app/725280/Kitty/",
            "release_date": "2018-01-04",
            "tags": ["Strategy", "Indie"],
            "discount_price": 4.49,
            "reviews_url": "http://steamcommunity.com/app/725280/reviews/",
            "specs": ["Single-player"],
            "price": 4.99,
            "early_access": False,
            "id": "725280",
            "developer": "Kotoshiro",
        },
        {"app_name": "Ironbound", "price": "Free To Play", "id": "328100", "early_access": False},
        {"app_name": "no id", "early_access": False},
    ]
    return {"steam_reviews.json.gz": old_literals(reviews), "steam_games.json.gz": old_literals(games)}


def goodreads() -> Files:
    shelved = [
        {
            "user_id": user,
            "book_id": book,
            "review_id": f"c{n}",
            "is_read": rating > 0,
            "rating": rating,
            "review_text_incomplete": "",
            "date_added": f"Thu Aug 17 15:15:2{n} -0700 2017",
            "date_updated": "Thu Aug 17 15:15:35 -0700 2017",
            "read_at": "",
            "started_at": "",
        }
        for n, (user, book, rating) in enumerate([("88a", "27036533", 0), ("88a", "6565837", 5), ("88b", "6565837", 2)])
    ]
    book = {
        "isbn": "1591935857",
        "text_reviews_count": "4",
        "series": [],
        "country_code": "US",
        "language_code": "",
        "popular_shelves": [{"count": "2", "name": "picture-books"}, {"count": "2", "name": "ducks"}],
        "asin": "",
        "is_ebook": "false",
        "average_rating": "4.29",
        "description": "",
        "format": "Hardcover",
        "authors": [{"author_id": "13195", "role": ""}],
        "publisher": "Adventurekeen",
        "num_pages": "36",
        "publication_year": "2016",
        "image_url": "https://images.gr-assets.com/books/27036533.jpg",
        "book_id": "27036533",
        "title": "Jump, Little Wood Ducks",
        "title_without_series": "Jump",
    }
    return {
        "goodreads_interactions_poetry.json.gz": json_lines(shelved),
        "goodreads_books_poetry.json.gz": json_lines([book, {**book, "book_id": "6565837", "language_code": "eng"}]),
    }


ALL: dict[str, Files] = {
    "amazon-2014": amazon_2014(),
    "amazon-2018": amazon_2018(),
    "amazon-2023": amazon_2023(),
    "goodreads": goodreads(),
    "hm": hm(),
    "lastfm": lastfm(),
    "microlens-50k": microlens_50k(),
    "microlens-100k": microlens_100k(),
    "mind-small": mind_small(),
    "ml-100k": movielens_100k(),
    "ml-1m": movielens_1m(),
    "ml-10m": movielens_10m(),
    **{name: movielens_csv(name) for name in ("ml-20m", "ml-25m", "ml-32m", "ml-latest-small")},
    "steam": steam(),
    "yelp": yelp(),
}
"""The files of every source with a reader of its own, by name. MIND-large has the format of MIND-small."""
