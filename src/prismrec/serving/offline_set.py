"""The items and users of a page in one file, from which page/offline.js computes answers."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from prismrec.errors import parse_json
from prismrec.retrieval.conditions import ID_COLUMN, typed
from prismrec.runs import Run
from prismrec.serving.answers import json_bytes


def offline_set(run: Run, items: Sequence[str], users: Sequence[str]) -> dict[str, Any]:
    """Vectors, descriptions and histories, ready for JSON.

    Args:
        run: the run.
        items: ids of n items.
        users: ids of m users. Their histories are cut to the items.
    """
    rows = np.array([run.items.number(item) for item in items], dtype=np.int64)
    user_rows = np.array([run.users.number(user) for user in users], dtype=np.int64)
    table = run.catalog if run.catalog is not None else pl.DataFrame()
    user_map = run.newcomers.user_map
    content = {
        "items": _items(run, table, rows),
        "users": [_user(run, int(row), set(items)) for row in user_rows],
        "columns": table.columns,
        "width": run.embeddings.items.shape[1],
        "vectors": _encoded(run.embeddings.items, rows),  # [n, d]
        "maps": _encoded(user_map.items, rows),  # [n, d]
        "userVectors": _encoded(run.embeddings.users, user_rows),  # [m, d]
        "power": user_map.settings.power,
    }
    ready: dict[str, Any] = parse_json(json_bytes(content))
    return ready


def _items(run: Run, table: pl.DataFrame, rows: np.ndarray) -> list[dict[str, Any]]:
    """Each item with its row of the item table, as it is and as conditions read it."""
    changed = [column for column in map(typed, table) if column.dtype != table[column.name].dtype]
    ids = run.items.ids_of(rows)
    as_read = pl.DataFrame([ids.alias(ID_COLUMN), *[column.gather(rows) for column in changed]])
    fields = table[rows].to_dicts() if table.width else [{} for _ in rows]
    clicks = run.train.item_degrees[rows].tolist()
    return [
        {"item": item, "fields": field, "typed": read, "clicks": count}
        for item, field, read, count in zip(ids, fields, as_read.to_dicts(), clicks, strict=True)
    ]


def _user(run: Run, row: int, items: set[str]) -> dict[str, Any]:
    """A user with the part of the history that is in the file."""
    train = run.items.ids_of(run.train.items_of(row)).to_list()
    held_out = [run.items.ids_of(split.items_of(row)).to_list() for split in (run.valid, run.test)]
    return {
        "user": run.users.id(row),
        "clicks": len(train),
        "trained": bool(train),
        "train": [item for item in train if item in items],
        "seen": [item for part in (train, *held_out) for item in part if item in items],
    }


def _encoded(matrix: Tensor, rows: np.ndarray) -> str:
    """Some rows of a matrix as float32, in base64."""
    chosen = matrix[torch.from_numpy(rows)].float().contiguous()
    return base64.b64encode(chosen.numpy().astype("<f4").tobytes()).decode()
