"""Damaged folders of every layout: each gives a data set or one line, never a traceback, a hang, or native output.

PRISMREC_FUZZ_CASES sets the number of cases; the cases then differ from run to run.
"""

import gzip
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from prismrec.data import SplitSpec, load
from prismrec.errors import InputError

CASES = int(os.environ.get("PRISMREC_FUZZ_CASES", "800"))
USERS = [f"u{i % 5}" for i in range(24)]
ITEMS = [f"x{i % 7}" for i in range(24)]
SPLITS = [("train", "train", "valid", "test")[i % 4] for i in range(24)]
IDS = [f"x{i}" for i in range(7)]
VALUES = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)

Files = dict[str, bytes]


def written(write: Callable[[Any], Any]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def text_of(frame: pl.DataFrame, separator: str = ",") -> bytes:
    return frame.write_csv(separator=separator).encode()


INTERACTIONS = pl.DataFrame({"user": USERS, "item": ITEMS, "time": range(24), "split": SPLITS}).unique(["user", "item"])
CATALOG = pl.DataFrame({"item_id": IDS, "title": [f"The {i}th" for i in range(7)]})
NPY = written(lambda file: np.save(file, VALUES))
NPZ = written(lambda file: np.savez(file, ids=np.array(IDS), features=VALUES))
COLUMNS = {"item_id": IDS} | {f"f{i}": VALUES[:, i] for i in range(4)}
FEATURE_TABLE = written(pl.DataFrame(COLUMNS).write_parquet)
FEATURE_LISTS = written(pl.DataFrame({"item_id": IDS, "f": VALUES.tolist()}).write_parquet)
SAFETENSORS = save({"features": VALUES}, {"ids": json.dumps(IDS)})
ATOMIC_HEADER = b"user_id:token\titem_id:token\ttimestamp:float\n"
ATOMIC = ATOMIC_HEADER + "".join(f"{u}\t{i}\t{t}\n" for t, (u, i) in enumerate(zip(USERS, ITEMS, strict=True))).encode()
SEQUENCES = b"item_id:token\temb:float_seq\n" + "".join(f"{i}\t1 {i[1:]}.5\n" for i in IDS).encode()
NUMBERED = "userID\titemID\tx_label\n" + "".join(f"{i % 5}\t{i % 7}\t{i % 5 % 3}\n" for i in range(24))
LISTS = [json.dumps({str(user): [(user + part) % 7] for user in range(5)}).encode() for part in range(3)]
PART = INTERACTIONS.select("user", "item")

LAYOUTS: dict[str, Files] = {
    "csv": {
        "interactions.csv": text_of(INTERACTIONS),
        "items.csv": text_of(CATALOG),
        "users.csv": text_of(pl.DataFrame({"user_id": sorted(set(USERS))})),
        "features/image.npz": NPZ,
    },
    "tsv": {"interactions.tsv": text_of(INTERACTIONS, "\t"), "features/text.safetensors": SAFETENSORS},
    "gzip": {
        "interactions.csv.gz": gzip.compress(text_of(INTERACTIONS), mtime=0),
        "features/image.npy": NPY,
        "features/image.ids.txt": "\n".join(IDS).encode(),
    },
    "parquet": {
        "interactions.parquet": written(INTERACTIONS.write_parquet),
        "items.parquet": written(CATALOG.write_parquet),
        "features/image.parquet": FEATURE_TABLE,
        "features/text.parquet": FEATURE_LISTS,
    },
    "split tables": {f"{name}.csv": text_of(PART[k::3]) for k, name in enumerate(("train", "valid", "test"))},
    "mmrec": {"shop.inter": NUMBERED.encode(), "image_feat.npy": NPY, "text_feat.npy": NPY},
    "recbole": {"shop.inter": ATOMIC, "shop.item": SEQUENCES, "shop.emb": SEQUENCES.replace(b"emb", b"text")},
    "split atomic": {
        f"s.{name}.inter": ATOMIC_HEADER + b"".join(ATOMIC.splitlines(keepends=True)[1 + k :: 3])
        for k, name in enumerate(("train", "valid", "test"))
    },
    "lattice": {f"5-core/{name}.json": LISTS[k] for k, name in enumerate(("train", "val", "test"))}
    | {"image_feat.npy": NPY},
    "flat lattice": {f"{name}.json": LISTS[k] for k, name in enumerate(("train", "val", "test"))}
    | {"image_feat.npy": NPY, "text_feat.npy": NPY},
}
FRAGMENTS = [
    b"", b"\0", b'"', b"\n", b"\r", b"\t", b",", b" ", b":", b"-1", b"007", b"1.0", b"nan", b"inf", b"1e999", b"1e-999",
    b"99999999999999999999", b"\xff", b"\xf0\x9f\x8e\xb5", b"\xed\xa0\x80", b"\\ud800", b"{", b"[", b"[[[[", b"null",
    b"true", b"2009-02-30", b"31/12/2009", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b", b"PAR1", b"PK\3\4",
    b"\x93NUMPY", "²٣".encode(), b"label", b"user", b"item_id", b":float_seq", b"\x7f" * 8, b"\xff" * 8, b"0" * 5000,
]  # fmt: skip
OTHER_NAMES = [
    "interactions.csv", "interactions.parquet", "items.tsv", "users.parquet", "shop.inter", "shop.item", "train.json",
    "5-core/train.json", "train.csv", "test.csv", "features/image.npy", "features/image.npz", "features/image.parquet",
    "features/image.safetensors", "features/image.ids.txt", "image_feat.npy", "s.train.inter", "features", "5-core",
]  # fmt: skip
ODD_KINDS = ["folder", "pipe", "dangling link", "loop", "empty file", "device"]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[Files, dict[str, str]]:
    """The files of a layout after one to three accidents, and what is at other paths: name → kind."""
    files = dict(LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))])
    odd: dict[str, str] = {}
    for _ in range(draw(st.integers(1, 3))):
        accident = draw(st.sampled_from(["bytes", "bytes", "bytes", "cut", "double", "swap", "move", "drop", "odd"]))
        name = draw(st.sampled_from(sorted(files)))
        content = files[name]
        start = draw(st.integers(0, len(content)))
        if accident == "bytes":
            removed = draw(st.sampled_from([0, 1, 1, 4, 50]))
            inserted = draw(st.one_of(st.sampled_from(FRAGMENTS), st.binary(min_size=1, max_size=4)))
            files[name] = content[:start] + inserted + content[start + removed :]
        elif accident == "cut":
            files[name] = content[:start]
        elif accident == "double":
            files[name] = content + content[start:]
        elif accident == "swap":
            files[name] = files[draw(st.sampled_from(sorted(files)))]
        elif accident == "move":
            files[draw(st.sampled_from(OTHER_NAMES))] = content
        elif accident == "drop" and len(files) > 1:
            del files[name]
        elif accident == "odd":
            odd[draw(st.sampled_from([*OTHER_NAMES, name]))] = draw(st.sampled_from(ODD_KINDS))
    return files, odd


def place(root: Path, files: Files, odd: dict[str, str]) -> None:
    """Write the files as far as they can exist together."""
    for name, kind in odd.items():
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "folder":
                path.mkdir()
            elif kind == "pipe":
                os.mkfifo(path)
            elif kind == "empty file":
                path.touch()
            else:
                path.symlink_to({"dangling link": "nowhere", "loop": path.name, "device": "/dev/zero"}[kind])
        except OSError:
            continue
    for name, content in files.items():
        path = root / name
        if not os.path.lexists(path) and (path.parent.is_dir() or not os.path.lexists(path.parent)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "split": st.sampled_from([SplitSpec(by=by) for by in ("user", "last", "time", "overall", "cold-items")]),
        "k_core": st.integers(0, 2),
        "memory_limit": st.sampled_from([500, 5000, 10**8]),
        "npy_order": st.just("items"),
        "unknown_items": st.sampled_from(["drop", "refuse"]),
        "format": st.sampled_from(["table", "mmrec", "recbole", "lattice"]),
        "where": st.sampled_from([["time>3"], ["item!=x3"]]),
    },
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_readable_before_it_is_damaged(layout: str, tmp_path: Path) -> None:
    place(tmp_path, LAYOUTS[layout], {})
    dataset = load(tmp_path)
    assert len(dataset.train)
    assert bool(dataset.features) != ("split" in layout)


@settings(
    max_examples=CASES,
    deadline=None,
    derandomize="PRISMREC_FUZZ_CASES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(damage=damaged(), parameters=PARAMETERS)
def test_a_damaged_folder_is_a_data_set_or_one_line(
    damage: tuple[Files, dict[str, str]], parameters: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "shop"
        root.mkdir()
        place(root, *damage)
        try:
            dataset = load(root, **parameters)
        except InputError as error:
            assert "\n" not in str(error)
            assert error.found
            assert error.expected
            str(error).encode()
        else:
            assert len(dataset.train)
            assert all(np.isfinite(values).all() for values in dataset.features.values())
            "\n".join(
                [dataset.name, *dataset.notes, *dataset.users.ids, *dataset.items.ids, *dataset.features]
            ).encode()
            assert len(dataset.fingerprint) == 64
    assert capfd.readouterr().err == ""
