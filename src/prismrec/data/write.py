"""A `Dataset` back to files, in the tabular or the MMRec layout; a folder is whole or not there."""

from pathlib import Path

import numpy as np
import polars as pl

from prismrec.data.dataset import Dataset
from prismrec.data.split import SPLIT_NAMES
from prismrec.files import new_folder


def write_table(dataset: Dataset, out: Path) -> None:
    """Write the tabular layout: the split as a column, features only of the items that have them.

    `interactions.csv` (user_id, item_id, split), `items.csv` (the catalog, or only ids; `items.parquet` if a
    column holds lists), `users.csv` if some users have no pair, `features/MODALITY.npz` (ids, features).

    Raises:
        InputError: `out` exists and is not an empty folder.
    """
    with new_folder(out) as folder:
        pairs = _pairs(dataset)
        pl.DataFrame(
            {
                "user_id": dataset.users.ids_of(pairs["user"]),
                "item_id": dataset.items.ids_of(pairs["item"]),
                "split": pl.Series(SPLIT_NAMES).gather(pairs["label"]),
            }
        ).write_csv(folder / "interactions.csv")
        catalog = dataset.catalog
        if catalog is None:
            catalog = pl.DataFrame({"item_id": dataset.items.ids})
        if any(dtype.is_nested() or dtype == pl.Binary for dtype in catalog.dtypes):
            catalog.write_parquet(folder / "items.parquet")
        else:
            catalog.write_csv(folder / "items.csv")
        if pairs["user"].n_unique() < len(dataset.users):
            pl.DataFrame({"user_id": dataset.users.ids}).write_csv(folder / "users.csv")
        if dataset.features:
            (folder / "features").mkdir()
        for name, values in dataset.features.items():
            present = dataset.present[name]
            ids = np.array(dataset.items.ids.filter(pl.Series(present)).to_list(), dtype=np.str_)
            np.savez(folder / "features" / f"{name}.npz", ids=ids, features=values[present])


def write_mmrec(dataset: Dataset, out: Path) -> None:
    """Write the MMRec layout: `NAME.inter`, `MODALITY_feat.npy` and, for the ids, two mapping files.

    NAME is the name of the folder. The layout cannot say which features were filled, nor, without any features,
    that there are items after the last one with a pair; `i_id_mapping.csv` lists all of them.

    Raises:
        InputError: `out` exists and is not an empty folder.
    """
    with new_folder(out) as folder:
        _pairs(dataset).rename({"user": "userID", "item": "itemID", "label": "x_label"}).write_csv(
            folder / f"{out.resolve().name}.inter", separator="\t"
        )
        for name, values in dataset.features.items():
            np.save(folder / f"{name}_feat.npy", values)
        for vocabulary, kind in ((dataset.users, "user"), (dataset.items, "item")):
            mapping = pl.DataFrame({f"{kind}_id": vocabulary.ids}).with_row_index(f"{kind}ID")
            mapping.select(f"{kind}_id", f"{kind}ID").write_csv(folder / f"{kind[0]}_id_mapping.csv", separator="\t")


def _pairs(dataset: Dataset) -> pl.DataFrame:
    """Numbers `user`, `item` and `label` of all pairs: training, then validation, then test."""
    splits = (dataset.train, dataset.valid, dataset.test)
    return pl.DataFrame(
        {
            "user": np.concatenate([split.users for split in splits]),
            "item": np.concatenate([split.items for split in splits]),
            "label": np.repeat(np.arange(3, dtype=np.int32), [len(split) for split in splits]),
        }
    )
