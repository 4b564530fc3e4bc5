"""Writes a `Dataset` to a new folder, in the tabular or the MMRec layout. The folder is complete or absent."""

from pathlib import Path

import numpy as np
import polars as pl

from prismrec.data.dataset import Dataset
from prismrec.data.readers.encodings import write_encoding
from prismrec.data.split import SPLIT_NAMES
from prismrec.files import new_folder
from prismrec.types import BoolArray, FloatArray, Vocabulary


def write_table(dataset: Dataset, out: Path) -> None:
    """Write the tabular layout.

    - `interactions.csv` has the columns user_id, item_id and split.
    - `items.csv` is the catalog, or the item ids alone. It is `items.parquet` if a column has lists, structs or bytes.
    - `users.csv` has the user ids. It is written only if a user has no interaction.
    - `features/MODALITY.npz` has the arrays ids `[n]` and features `[n, F_m]` of the n items that have the modality. If
      `prismrec features` made them, what it says about them is beside it.
    - `import.json`, if the data set was imported, says where it comes from.

    Args:
        dataset: what to write.
        out: a new or empty folder.

    Raises:
        InputError: `out` is not an empty folder, or it cannot be written.
    """
    with new_folder(out) as folder:
        pairs = _pair_table(dataset)
        interactions = {
            "user_id": dataset.users.ids.gather(pairs["user"]),
            "item_id": dataset.items.ids.gather(pairs["item"]),
            "split": pl.Series(SPLIT_NAMES).gather(pairs["label"]),
        }
        pl.DataFrame(interactions).write_csv(folder / "interactions.csv")
        _write_catalog(dataset, folder)
        if pairs["user"].n_unique() < len(dataset.users):
            pl.DataFrame({"user_id": dataset.users.ids}).write_csv(folder / "users.csv")
        if dataset.features:
            (folder / "features").mkdir()
        for name, values in dataset.features.items():
            path = folder / "features" / f"{name}.npz"
            _write_features(path, dataset.items, values, dataset.present[name])
            if name in dataset.encodings:
                write_encoding(path, dataset.encodings[name], values[dataset.present[name]])
        _write_import(dataset, folder, "written as a table")


def write_mmrec(dataset: Dataset, out: Path) -> None:
    """Write the MMRec layout, where NAME is the name of the folder.

    - `NAME.inter` has the columns userID, itemID (numbers) and x_label (0 train, 1 valid, 2 test).
    - `MODALITY_feat.npy` has the features `[I, F_m]`.
    - `u_id_mapping.csv` and `i_id_mapping.csv` map ids to numbers.
    - `import.json`, if the data set was imported, says where it comes from.

    The layout does not record which features were filled, or how features were made. Without features, a reader learns
    from `i_id_mapping.csv` alone that there are items after the last one with an interaction.

    Args:
        dataset: what to write.
        out: a new or empty folder.

    Raises:
        InputError: `out` is not an empty folder, or it cannot be written.
    """
    with new_folder(out) as folder:
        pairs = _pair_table(dataset).rename({"user": "userID", "item": "itemID", "label": "x_label"})
        pairs.write_csv(folder / f"{out.resolve().name}.inter", separator="\t")
        for name, values in dataset.features.items():
            np.save(folder / f"{name}_feat.npy", values)
        _write_mapping(folder / "u_id_mapping.csv", "user", dataset.users)
        _write_mapping(folder / "i_id_mapping.csv", "item", dataset.items)
        _write_import(dataset, folder, "written in the MMRec layout")


def _pair_table(dataset: Dataset) -> pl.DataFrame:
    """The columns `user`, `item` and `label` (numbers) of all pairs: training, then validation, then test."""
    splits = (dataset.train, dataset.valid, dataset.test)
    lengths = [len(split) for split in splits]
    columns = {
        "user": np.concatenate([split.users for split in splits]),
        "item": np.concatenate([split.items for split in splits]),
        "label": np.repeat(np.arange(3, dtype=np.int32), lengths),
    }
    return pl.DataFrame(columns)


def _write_catalog(dataset: Dataset, folder: Path) -> None:
    catalog = dataset.catalog
    if catalog is None:
        catalog = pl.DataFrame({"item_id": dataset.items.ids})
    if any(dtype.is_nested() or dtype == pl.Binary for dtype in catalog.dtypes):  # CSV has no form for these
        catalog.write_parquet(folder / "items.parquet")
    else:
        catalog.write_csv(folder / "items.csv")


def _write_import(dataset: Dataset, folder: Path, step: str) -> None:
    """Write `import.json` with this copy as a further step."""
    if dataset.imported is None:
        return
    count = len(dataset.train) + len(dataset.valid) + len(dataset.test)
    record = dataset.imported.continued(step, count, len(dataset.users), len(dataset.items), dataset.notes)
    record.write(folder)


def _write_features(path: Path, items: Vocabulary, values: FloatArray, present: BoolArray) -> None:
    """Write the rows of `values` `[I, F_m]` where `present` `[I]` is true."""
    ids = items.ids.filter(pl.Series(present))
    np.savez(path, ids=np.array(ids.to_list(), dtype=np.str_), features=values[present])


def _write_mapping(path: Path, kind: str, vocabulary: Vocabulary) -> None:
    mapping = pl.DataFrame({f"{kind}_id": vocabulary.ids}).with_row_index(f"{kind}ID")
    mapping.select(f"{kind}_id", f"{kind}ID").write_csv(path, separator="\t")
