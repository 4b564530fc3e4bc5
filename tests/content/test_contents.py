"""Which columns and files are the content of the items."""

from pathlib import Path

import polars as pl
import pytest

from prismrec.content.contents import find_files, find_texts, read_items, text_columns
from prismrec.errors import InputError, ParameterError


def words(number: int) -> str:
    return ["A warm lamp", "Ein schöner Krug", "茶碗と皿", "une tasse"][number % 4] + f" {number}"


def test_columns_with_words_are_texts_and_no_others():
    n = range(20)
    frame = pl.DataFrame(
        {
            "item_id": [f"item {number}" for number in n],
            "title": [words(number) for number in n],
            "isbn": [f"00609{number:04d}X" for number in n],
            "year": [str(1950 + number) for number in n],
            "date": [f"2024-05-{number + 1:02d}" for number in n],
            "image": [f"images/photo of {number}.jpg" for number in n],
            "link": [f"https://example.org/item/{number}" for number in n],
            "parent_id": [f"group-{number}" for number in n],
            "in_stock": ["true", "false"] * 10,
            "shop": ["one shop"] * 20,
            "price": list(n),
            "tags": [["warm", f"tag {number}"] for number in n],
            "author": [f"Author Nr. {number}" if number % 3 else None for number in n],
        }
    )
    assert text_columns(frame) == ["title", "tags", "author"]


def test_the_columns_of_a_text_are_joined_and_empty_cells_skipped(tmp_path):
    items = "item_id,title,brand\na,Red mug,Fjord\nb,,Elm\nc,  ,\n"
    (tmp_path / "items.csv").write_text(items)
    contents = find_texts(read_items(tmp_path), ["title", "brand"])
    assert contents is not None
    assert list(contents.pieces) == [["Red mug. Fjord"], ["Elm"], []]
    assert contents.columns == ("title", "brand")
    with pytest.raises(ParameterError, match="colour"):
        find_texts(read_items(tmp_path), ["colour"])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "items.csv").write_text("item_id,cover\na,\na_1,\nb,\nc,\nd,\n")
    (tmp_path / "photos").mkdir()
    return tmp_path


def names(folder: Path, kind: str = "image", given: tuple[str, ...] = ()) -> dict[str, list[str]]:
    contents = find_files(kind, read_items(folder), folder, given)
    assert contents is not None
    named = [[Path(path).relative_to(folder).as_posix() for path in pieces] for pieces in contents.pieces]
    return dict(zip(contents.ids, named, strict=True))


def test_files_belong_to_items_by_name(shop):
    for name in ("a.jpg", "a_1.png", "a_2.PNG", "b-1.webp", "b-2.webp", "stranger.jpg", "notes.txt", ".hidden.jpg"):
        (shop / "photos" / name).touch()
    (shop / "photos" / "c").mkdir()
    (shop / "photos" / "c" / "front.jpg").touch()
    (shop / "photos" / "c" / "readme.md").touch()
    assert names(shop) == {
        "a": ["photos/a.jpg", "photos/a_2.PNG"],
        "a_1": ["photos/a_1.png"],
        "b": ["photos/b-1.webp", "photos/b-2.webp"],
        "c": ["photos/c/front.jpg"],
        "d": [],
    }
    contents = find_files("image", read_items(shop), shop, ())
    assert contents is not None
    assert contents.notes == ("photos: 1 file without an item of that id, such as 'stranger.jpg'",)
    assert contents.folder == "photos"


def test_a_note_says_that_names_differ_only_in_case(shop):
    for name in ("A.jpg", "b.jpg", "stranger.jpg"):
        (shop / "photos" / name).touch()
    contents = find_files("image", read_items(shop), shop, ())
    assert contents is not None
    assert contents.notes == (
        "photos: 2 files without an item of that id, such as 'A.jpg'",
        "photos: 1 name with the id of an item in another case: 'A.jpg'",
    )


def test_a_column_with_paths_is_recognised_and_may_name_several_files(shop):
    (shop / "items.csv").write_text("item_id,cover\na,photos/x.jpg\nb,photos/y.png|photos/z.png\nc,\n")
    assert names(shop) == {"a": ["photos/x.jpg"], "b": ["photos/y.png", "photos/z.png"], "c": []}


def test_urls_are_not_taken_for_files(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,image\na,https://example.org/a.jpg\nb,https://example.org/b.jpg\n")
    assert find_files("image", read_items(tmp_path), tmp_path, ()) is None


def test_several_candidates_are_refused_and_a_choice_decides(shop):
    (shop / "photos" / "a.jpg").touch()
    (shop / "covers").mkdir()
    (shop / "covers" / "a.jpg").touch()
    with pytest.raises(InputError, match="2 folders with files: 'covers', 'photos'"):
        names(shop)
    assert names(shop, given=("covers",))["a"] == ["covers/a.jpg"]
    (shop / "items.csv").write_text("item_id,front,back\na,x.jpg,y.jpg\n")
    with pytest.raises(InputError, match="2 columns with files: 'front', 'back'"):
        names(shop)
    assert names(shop, given=("front", "back")) == {"a": ["x.jpg", "y.jpg"]}
    with pytest.raises(ParameterError, match="side"):
        names(shop, given=("side",))


def test_a_folder_without_item_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="no item table"):
        read_items(tmp_path)


def test_a_name_of_any_length_is_refused_as_a_folder_that_does_not_exist(shop):
    with pytest.raises(ParameterError, match="image: found 'nnn"):
        find_files("image", read_items(shop), shop, ["n" * 5000])
