from prismrec.data import ColumnNames, SplitSpec, load

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\ti9\t5\t30.5\nu1\ti7\t3\t10\nu1\ti8\t4\t20\n"
ITEM = (
    'item_id:token\tmovie_title:token_seq\trelease_year:token\ni7\tSeven "7"\t1995\nicold\tCold\t2000\ni9\tNine\t2009\n'
)


def test_typed_headers_are_understood_and_items_described(folder):
    source = folder({"ml.inter": INTER, "ml.item": ITEM})
    dataset = load(source, split=SplitSpec(by="last"))
    assert dataset.name == "ml"
    assert dataset.items.ids.to_list() == ["i7", "i8", "i9", "icold"]
    assert dataset.items.ids_of(dataset.test.items).to_list() == ["i9"]
    assert dataset.items.ids_of(dataset.train.items).to_list() == ["i7"]
    assert dataset.catalog is not None
    assert dataset.catalog["movie_title"].to_list() == ['Seven "7"', None, "Nine", "Cold"]


def test_columns_are_named_without_their_type(folder):
    source = folder({"ml.inter": INTER.replace("user_id", "who")})
    assert load(source, columns=ColumnNames(user="who")).users.ids.to_list() == ["u1"]


def test_one_name_with_two_types_is_refused(folder, refused):
    source = folder({"ml.inter": "user_id:token\titem_id:token\tuser_id:float\nu\ti\t1\n"})
    refused(source, "ml.inter, line 1", "column 'user_id' twice", "each column once")
