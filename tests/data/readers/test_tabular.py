import gzip

import polars as pl
import pytest

from prismrec.data.readers.raw import ReadOptions
from prismrec.data.readers.tabular import read_table
from prismrec.errors import InputError

ROWS = {"user": ["a", "b"], "item": ["x,1", 'y"2']}
CSV = 'user,item\na,"x,1"\nb,"y""2"\n'


@pytest.mark.parametrize(
    "content",
    [
        CSV.encode(),
        b"\xef\xbb\xbf" + CSV.encode(),
        CSV.replace("\n", "\r\n").encode(),
        CSV.rstrip().encode(),
        (CSV + "\n\n").encode(),
        CSV.replace("b,", "\nb,").encode(),
        gzip.compress(CSV.encode()),
    ],
    ids=["plain", "byte order mark", "CRLF", "no last newline", "blank lines at the end", "blank line", "gzip"],
)
def test_reads_csv_however_it_was_saved(content, tmp_path):
    path = tmp_path / "clicks.csv"
    path.write_bytes(content)
    assert read_table(path, ReadOptions()).frame.to_dict(as_series=False) == ROWS


def test_a_byte_order_mark_inside_gzip_and_crlf_together(tmp_path):
    path = tmp_path / "clicks.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()))
    assert read_table(path, ReadOptions()).frame.to_dict(as_series=False) == ROWS


@pytest.mark.parametrize(("name", "separator"), [("clicks.csv", ","), ("clicks.tsv", "\t"), ("clicks.inter", "\t")])
def test_the_header_of_a_joined_file_is_no_row(name, separator, tmp_path):
    part = f"user{separator}item\na{separator}x\n"
    (tmp_path / name).write_text(part + "\n" + part)
    with pytest.raises(InputError, match="line 4: found the header a second time"):
        read_table(tmp_path / name, ReadOptions())


def test_a_word_of_the_header_may_be_a_value(tmp_path):
    (tmp_path / "clicks.csv").write_text("user,item\nuser,x\n")
    assert read_table(tmp_path / "clicks.csv", ReadOptions()).frame.rows() == [("user", "x")]


def test_a_carriage_return_that_ends_a_line_by_itself_is_named(tmp_path):
    (tmp_path / "clicks.csv").write_bytes(b"user,item\na,x\nb,y\rc,z\n")
    with pytest.raises(InputError, match="line 3: found a carriage return alone"):
        read_table(tmp_path / "clicks.csv", ReadOptions())


def test_a_quotation_mark_is_a_letter_in_atomic_files(tmp_path):
    path = tmp_path / "shop.item"
    path.write_text('item_id:token\ttitle:token_seq\n1\t"Bad" seeds\n2\t5" nails\n')
    assert read_table(path, ReadOptions()).frame["title"].to_list() == ['"Bad" seeds', '5" nails']


def test_a_quotation_mark_in_a_column_name_is_one_mark(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text('item_id,"size ("")",note\na,"5 """,b\n')
    frame = read_table(path, ReadOptions()).frame
    assert frame.columns == ["item_id", 'size (")', "note"]
    assert frame.row(0) == ("a", '5 "', "b")


def test_an_empty_last_field_is_no_short_row(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text('item,title\nx,\ny,"long ' + "text " * 50_000 + '"\n')
    assert read_table(path, ReadOptions()).frame["title"].null_count() == 1


def test_a_place_is_the_line_in_text_and_the_row_in_parquet(tmp_path):
    text, parquet = tmp_path / "a.csv", tmp_path / "a.parquet"
    text.write_text('user,note\na,"two\nlines"\n\nb,one\n')
    pl.DataFrame({"user": ["a", "b"]}).write_parquet(parquet)
    assert read_table(text, ReadOptions()).place(0) == f"{text}, line 2"
    assert read_table(text, ReadOptions()).place(1, "user") == f"{text}, line 5, column 'user'"
    assert read_table(parquet, ReadOptions()).place(1) == f"{parquet}, row 2"
