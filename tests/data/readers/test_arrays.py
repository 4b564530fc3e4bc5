import json

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from prismrec.data import load

IDS = ["z", "x"]
VALUES = np.array([[1, 2], [3, 4]], np.float32)


def npz(path):
    np.savez(path.with_suffix(".npz"), ids=np.array(IDS), features=VALUES)


def npz_numbers(path):
    np.savez(path.with_suffix(".npz"), ids=np.array(IDS), features=VALUES.astype(np.uint8))


def npy_listed(path):
    np.save(path.with_suffix(".npy"), np.asfortranarray(VALUES.astype(">f8")))
    path.with_suffix(".ids.txt").write_text("\ufeff" + "\r\n".join(IDS) + "\r\n", encoding="utf-8", newline="")


def parquet_lists(path):
    pl.DataFrame({"item_id": IDS, "embedding": VALUES.tolist()}).write_parquet(path.with_suffix(".parquet"))


def parquet_arrays(path):
    values = pl.Series(VALUES.tolist(), dtype=pl.Array(pl.Float32, 2))
    pl.DataFrame({"embedding": values, "itemID": IDS}).write_parquet(path.with_suffix(".parquet"))


def parquet_columns(path):
    pl.DataFrame({"id": IDS, "f0": VALUES[:, 0], "f1": VALUES[:, 1]}).write_parquet(path.with_suffix(".parquet"))


def safetensors_metadata(path):
    save_file({"features": torch.from_numpy(VALUES)}, path.with_suffix(".safetensors"), {"ids": json.dumps(IDS)})


def safetensors_tensor(path):
    ids = torch.tensor(list(json.dumps(IDS).encode()), dtype=torch.uint8)
    features = torch.from_numpy(VALUES).to(torch.bfloat16)
    save_file({"features": features, "ids": ids}, path.with_suffix(".safetensors"))


@pytest.mark.parametrize(
    "write",
    [
        npz,
        npz_numbers,
        npy_listed,
        parquet_lists,
        parquet_arrays,
        parquet_columns,
        safetensors_metadata,
        safetensors_tensor,
    ],
)
def test_features_find_their_items_by_id(write, folder):
    source = folder({"interactions.csv": "user,item\na,x\na,z\n", "features/readme.txt": ""})
    write(source / "features" / "clip")
    features = load(source).features["clip"]
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, [[3, 4], [1, 2]])


def test_npy_rows_follow_the_item_table_if_told_so(folder):
    files = {"interactions.csv": "user,item\na,x\na,z\n", "items.csv": "item\nz\nx\n", "features/clip.npy": VALUES}
    np.testing.assert_array_equal(load(folder(files), npy_order="items").features["clip"], [[3, 4], [1, 2]])


def npy_too_large(path, values):
    np.save(path.with_suffix(".npy"), values)
    path.with_suffix(".ids.txt").write_text("z\nx\n")


@pytest.mark.parametrize(
    "write",
    [
        lambda path, values: np.savez(path.with_suffix(".npz"), ids=np.array(IDS), features=values),
        npy_too_large,
        lambda path, values: pl.DataFrame({"id": IDS, "f": values.tolist()}).write_parquet(
            path.with_suffix(".parquet")
        ),
        lambda path, values: save_file(
            {"features": torch.from_numpy(values)}, path.with_suffix(".safetensors"), {"ids": json.dumps(IDS)}
        ),
    ],
    ids=["npz", "npy", "parquet", "safetensors"],
)
def test_a_number_beyond_float32_is_named_as_it_is_in_the_file(write, folder, refused):
    source = folder({"interactions.csv": "user,item\na,x\na,z\n", "features/readme.txt": ""})
    write(source / "features" / "clip", np.array([[1, 2], [3, -1e300]]))
    [path] = [path for path in (source / "features").iterdir() if path.stem == "clip"]
    place = f"features/{path.name}, row 1 (item 'x'), column 1"
    refused(source, place, "-1e+300", "a number within ±3.40e+38, the range of float32")


@pytest.mark.parametrize(
    ("tensors", "metadata", "found"),
    [
        ({"features": VALUES}, None, "no ids"),
        ({"image": VALUES}, {"ids": json.dumps(IDS)}, "tensors 'image'"),
        ({"features": VALUES}, {"ids": '{"x": 0}'}, "no JSON list"),
        ({"features": VALUES}, {"ids": "[x"}, "unreadable content"),
    ],
)
def test_safetensors_without_ids_or_features_are_refused(tensors, metadata, found, folder, refused):
    source = folder({"interactions.csv": "user,item\na,x\na,z\n", "features/readme.txt": ""})
    path = source / "features" / "clip.safetensors"
    save_file({name: torch.from_numpy(values) for name, values in tensors.items()}, path, metadata)
    refused(source, "features/clip.safetensors", found, "")


def test_parquet_without_an_id_column_is_refused(folder, refused):
    source = folder({"interactions.csv": "user,item\na,x\na,z\n", "features/readme.txt": ""})
    pl.DataFrame({"name": IDS, "f0": VALUES[:, 0]}).write_parquet(source / "features" / "clip.parquet")
    refused(source, "features/clip.parquet", "columns 'name', 'f0'", "an id column")


def test_parquet_with_text_beside_the_numbers_is_refused(folder, refused):
    source = folder({"interactions.csv": "user,item\na,x\na,z\n", "features/readme.txt": ""})
    table = pl.DataFrame({"id": IDS, "title": ["Z", "X"], "f0": VALUES[:, 0]})
    table.write_parquet(source / "features" / "clip.parquet")
    refused(source, "features/clip.parquet", "'title: String', 'f0: Float32'", "only numbered columns")
