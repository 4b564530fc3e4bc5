"""Damaged run directories: each is refused in one line, or answers as before."""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load, save

from prismrec.cli import app
from prismrec.runs.checksums import checksum

from fuzzing import CASES, FUZZ, call, write_shop

FILES = [
    "config.json", "model.safetensors", "embeddings.safetensors", "users.parquet", "items.parquet",
    "interactions.parquet",
    "history.jsonl", "metrics.json", "newcomers.safetensors", "features.safetensors",
]  # fmt: skip
VALUES = [None, True, -1, 0, 1.5, 10**30, "", "x", "\ud800", [], {}, [None], {"x": 1}]
FRAGMENTS = [
    b"",
    b"\0",
    b"\n",
    b'"',
    b"{",
    b"[",
    b"null",
    b"NaN",
    b"1e999",
    b"\xff" * 8,
    b"\x7f" * 8,
    b"PAR1",
    b"\xed\xa0\x80",
]
UNREADABLE = (
    ValueError,
    KeyError,
    IndexError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    SafetensorError,
)
KINDS = ["folder", "pipe", "dangling", "loop", "device", "empty", "nothing"]


def damaged_json(draw: st.DrawFn, content: bytes) -> bytes:
    """JSON in which one value is of another type or missing."""
    tree = json.loads(content)
    if not isinstance(tree, dict | list) or not tree:  # an earlier accident left nothing to damage
        return content
    node: Any = tree
    while True:
        key = draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
        if not isinstance(node[key], dict | list) or not node[key] or draw(st.booleans()):
            break
        node = node[key]
    if draw(st.booleans()):
        del node[key]
    else:
        node[key] = draw(st.sampled_from(VALUES))
    return json.dumps(tree).encode()


def damaged_table(draw: st.DrawFn, content: bytes) -> bytes:
    """A Parquet file with swapped, missing, repeated or other columns, types and rows."""
    frame = pl.read_parquet(content)
    if not frame.columns:
        return content
    column = draw(st.sampled_from(frame.columns))
    other = draw(st.sampled_from(frame.columns))
    accident = draw(st.sampled_from(["swap", "drop", "rename", "type", "null", "head", "double", "reverse", "values"]))
    if accident == "swap":
        frame = frame.with_columns(frame[other].alias(column), frame[column].alias(other))
    elif accident == "drop":
        frame = frame.drop(column)
    elif accident == "rename":
        frame = frame.rename({column: column + "x"})
    elif accident == "type":
        kind = draw(st.sampled_from([pl.String, pl.Int8, pl.UInt64, pl.Float64, pl.Boolean, pl.Binary, pl.Date]))
        frame = frame.with_columns(frame[column].cast(kind, strict=False))
    elif accident == "null":
        frame = frame.with_columns(pl.when(pl.int_range(pl.len()) != 1).then(pl.col(column)).alias(column))
    elif accident == "head":
        frame = frame.head(draw(st.integers(0, 2)))
    elif accident == "double":
        frame = pl.concat([frame, frame])
    elif accident == "reverse":
        frame = frame.reverse()
    else:
        value = draw(st.sampled_from([-1, 10**9, 0]))
        frame = frame.with_columns(pl.lit(value).cast(frame[column].dtype, strict=False).alias(column))
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def damaged_tensors(draw: st.DrawFn, content: bytes) -> bytes:
    """A safetensors file with another shape, type or name, or with NaN."""
    tensors = load(content)
    if not tensors:
        return content
    name = draw(st.sampled_from(sorted(tensors)))
    array = tensors.pop(name)
    accident = draw(st.sampled_from(["drop", "rename", "half", "int", "flat", "short", "narrow", "nan", "huge"]))
    changed: dict[str, Any] = {
        "half": array.astype(np.float16), "int": array.astype(np.int64), "flat": array.reshape(-1), "short": array[:-1],
        "narrow": array[..., :-1], "nan": array * np.nan, "huge": np.full_like(array, 3e38), "rename": array,
    }  # fmt: skip
    if accident != "drop":
        tensors[name + "x" if accident == "rename" else name] = np.ascontiguousarray(changed[accident])
    return save(tensors)


@dataclass
class Damage:
    """What happened to a run.

    Attributes:
        files: the files of the run afterwards.
        kinds: what is in place of a file.
        accidents: each kind of accident and its file, for messages.
    """

    files: dict[str, bytes] = field(repr=False)
    kinds: dict[str, str] = field(default_factory=dict)
    accidents: list[str] = field(default_factory=list)


@st.composite
def damages(draw: st.DrawFn, runs: Mapping[str, Mapping[str, bytes]]) -> Damage:
    """A run after one or two accidents."""
    damage = Damage(dict(runs["run-a"]))
    files, kinds = damage.files, damage.kinds
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from([name for name in FILES if name in files]))
        content = files[name]
        accident = draw(st.sampled_from(["cut", "flip", "insert", "other run", "inside", "inside", "inside", "kind"]))
        damage.accidents.append(f"{name}: {accident}")
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        if not content:
            continue
        if accident == "cut":
            files[name] = content[:at]
        elif accident == "flip":
            files[name] = content[:at] + bytes([content[at] ^ draw(st.integers(1, 255))]) + content[at + 1 :]
        elif accident == "insert":
            files[name] = content[:at] + draw(st.sampled_from(FRAGMENTS)) + content[at + draw(st.integers(0, 4)) :]
        elif accident == "other run":
            files[name] = runs["run-b"][name]
        elif accident == "kind":
            kinds[name] = draw(st.sampled_from(KINDS))
        else:
            inside = {".json": damaged_json, ".parquet": damaged_table, ".safetensors": damaged_tensors}
            with contextlib.suppress(
                ValueError, KeyError, IndexError, pl.exceptions.PolarsError, SafetensorError
            ):  # damaged already
                files[name] = inside[Path(name).suffix](draw, content)
    return damage


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs."""
    root = tmp_path_factory.mktemp("fuzz")
    write_shop(root)
    return root


@pytest.fixture(scope="module")
def runs(place: Path) -> dict[str, dict[str, bytes]]:
    """The files of both runs."""
    return {
        run: {path.name: path.read_bytes() for path in (place / run).iterdir() if path.is_file()}
        for run in ("run-a", "run-b")
    }


QUESTIONS = {
    "evaluate": ["--json"],
    "recommend": ["--all", "--json", "--columns", "all"],
    "check": [],
}
REGISTERED = {command.name for command in app.registered_commands}
ASKED = {name: words for name, words in QUESTIONS.items() if name in REGISTERED}


@pytest.fixture(scope="module")
def answers(place: Path) -> dict[str, str]:
    """What the commands say about the undamaged run."""
    with contextlib.chdir(place):
        return {name: call([name, "run-a", *words]).out for name, words in ASKED.items()}


def write_run(folder: Path, files: Mapping[str, bytes], kinds: Mapping[str, str], *, signed: bool) -> None:
    """Write a run; `signed` writes the checksums of the files as they are, so that the readers see the damage."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if signed:
        metrics = json.loads(files["metrics.json"])
        metrics["files"] = {name: checksum(folder / name).model_dump() for name in metrics["files"]}
        (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    for name, kind in kinds.items():
        path = folder / name
        path.unlink(missing_ok=True)
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "empty":
            path.touch()
        elif kind != "nothing":
            path.symlink_to({"dangling": "nowhere", "loop": name, "device": "/dev/zero"}[kind])


@settings(FUZZ, max_examples=int(CASES or 150))
@given(data=st.data(), name=st.sampled_from(list(ASKED)), signed=st.booleans())
def test_a_damaged_run_is_refused_or_answers_as_before(
    data: st.DataObject, name: str, signed: bool, runs: dict[str, dict[str, bytes]], answers: dict[str, str]
) -> None:
    damage = data.draw(damages(runs))
    files = damage.files
    signed = signed and files["metrics.json"] == runs["run-a"]["metrics.json"]
    with tempfile.TemporaryDirectory() as root, contextlib.chdir(root):
        write_run(Path("run-a"), files, damage.kinds, signed=signed)
        result = call([name, "run-a", *ASKED[name]])
        if result.code == 0 and "--json" in ASKED[name]:
            answer = json.loads(result.out, parse_constant=pytest.fail)
            if not signed and files["config.json"] == runs["run-a"]["config.json"]:
                assert answer == json.loads(answers[name])
