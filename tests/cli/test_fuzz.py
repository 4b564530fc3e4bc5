"""Damaged command lines: each ends with a result or an error in one line, never a traceback or a hang."""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.cli import app

from fuzzing import CASES, FUZZ, call, write_shop

MODELS = ["most-popular", "MF-BPR", "VBPR", "LightGCN", "BM3", "GRCN", "HCCF", "LATTICE", "SLMRec"]
ODD_TEXTS = [
    "", " ", "-", "--", "-1", "0", "1", "007", "²", "٣", "１", "1_0", "nan", "NaN", "inf", "-inf", "1e999",
    "1e-320", "9" * 400,
    "null", "true", "[]", "{}", "[1", '"', "'", "=", "a=b", "x=", "=1", "💡", "\udcff", "é", "e\u0301", "[red]",
    "\\", "%s", "{0}",
    "\n", "a\nb", "\t", "../..", "*", "~", "$HOME", "x" * 5000, "None", "item", "split", "8:1:1", "0:0:0",
    "nan:1:1", "1:inf:1",
    "recall@20", "recall@²", "recall@0", "hit@007", "ndcg@" + "9" * 30, "5,10", "5,,10", "²", "500M", "1e9G",
    "label=1", "rating>=nan",
]  # fmt: skip
PATHS = [
    "shop", "shop/interactions.csv", "run-a", "empty", "text.txt", "pipe", "dangling", "loop", "link", "missing",
    "missing/deep",
    ".", "text.txt/below", "/dev/null", "/dev/zero", "/dev/full", "/proc/self/mem", "x" * 300, "new.csv",
    "new.json", "new.parquet",
    "run-a/items.parquet", "pipe.csv", "\udcff",
]  # fmt: skip
GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[tuple[str, ...], Any] = {}
for name, command in GROUP.commands.items():
    inner = getattr(command, "commands", None)
    COMMANDS |= {(name, each): inner[each] for each in inner} if inner else {(name,): command}
del COMMANDS["demo",]  # it takes a minute
del COMMANDS["serve",]  # it ends when it is told to
USUAL = {
    "model": MODELS, "first": MODELS, "source": ["shop"], "second": ["shop"], "data": ["shop"], "run": ["run-a"],
    "runs": ["run-a"], "names": ["ludp-fig5"], "only": ["sum"], "models": ["LUDP"],
    "to": ["table", "mmrec"], "by": ["user", "last", "time", "cold-items"], "ratios": ["8:1:1"],
    "text": ["title"], "image": ["image", "features"], "text_encoder": ["tfidf"], "image_encoder": ["histograms"],
    "normalise": ["none", "rows", "standardise"], "file_format": ["safetensors", "parquet"],
    "layout": ["table", "mmrec"], "fill": ["mean", "zero"], "unknown_items": ["refuse", "drop"], "modality": ["image"],
    "npy_order": ["items"], "user": ["u1", "u3"], "columns": ["all", "title", "title,price"], "k": ["1", "3"],
    "unknown": ["popular", "refuse"], "history": ["i1", "i1,i2"], "items": ["i1"], "exclude": ["i1"],
    "at_most": ["title=1", "price=2"], "newest": ["added,2026-01-01,1"], "diversity": ["0.5"], "shard": ["1/1", "1/2"],
    "engine": ["local"], "split": ["valid", "test"], "cutoffs": ["5,10", "1"],
    "metric": ["recall@5", "ndcg@10"], "device": ["cpu", "auto"], "precision": ["float32", "bf16"],
    "where": ["rating>=2", "price < 20"], "min_rating": ["2"], "memory_limit": ["4G", "10"], "time_column": ["time"],
    "user_column": ["user"], "item_column": ["item"], "rating_column": ["rating"],
    "space": ["batch_size=16,32", "learning_rate=1e-3..0.1:log"],
    "set_": ["embedding_size=8", "batch_size=16", "learning_rate=0.1", "layers=1", "dropout=0.5", "neighbours=3"],
}  # fmt: skip
OTHERS = ["1", "2", "shop", "run-a"]
"""Values of all other arguments and options."""
QUICK = {
    "features": ["--text-encoder", "tfidf"],
    "train": ["--epochs", "1"],
    "reproduce": ["--data", "shop", "--epochs", "1", "--seeds", "1", "--trials", "0"],
    "tune": ["--epochs", "1", "--trials", "1"],
    "bench": ["--no-limits", "--model", "MF-BPR", "--users", "60", "--items", "50", "--interactions", "100"],
}
"""Options that keep a command short."""
LONG = {"epochs", "patience", "validate_every", "seeds", "trials", "workers"}
SIZES = {"users", "items", "interactions"}
"""Options whose large values are promises of long work; they get small and invalid values only."""


def values_of(parameter: Any, command: str) -> st.SearchStrategy[str]:
    """Values of an argument or option of a command, half of them odd."""
    usual = USUAL.get(parameter.name, OTHERS)
    if parameter.name in LONG or (command == "bench" and parameter.name in SIZES):
        return st.sampled_from(["0", "1", "2", "-1", "", "²", "nan", "1.5", "1e3", "9" * 30 + "x"])
    if parameter.name == "set_":
        names = st.sampled_from([word.partition("=")[0] for word in usual] + ["weight_decay", "regulariser", "unknown"])
        return st.one_of(st.sampled_from(usual), st.builds("{}={}".format, names, st.sampled_from(ODD_TEXTS)))
    return st.one_of(
        st.sampled_from(usual), st.sampled_from(usual), st.sampled_from(ODD_TEXTS + PATHS), st.text(max_size=5)
    )


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with its arguments and up to four options, some of them odd; sometimes a word too many or too few."""
    path = draw(st.sampled_from(list(COMMANDS)))
    words: list[str] = []
    options = [each for each in COMMANDS[path].params if each.param_type_name == "option"]
    for parameter in COMMANDS[path].params:
        usual = USUAL.get(parameter.name or "", OTHERS)
        if parameter.param_type_name == "argument":
            words.append(draw(st.one_of(st.sampled_from(usual), values_of(parameter, path[0]))))
        elif parameter.required:
            words += [parameter.opts[0], draw(st.sampled_from(USUAL.get(parameter.name, ["new"])))]
    words += QUICK.get(path[0], [])
    for _ in range(draw(st.integers(0, 4)) if options else 0):
        parameter = draw(st.sampled_from(options))
        words.append(draw(st.sampled_from(parameter.opts)))
        if not parameter.is_flag:
            words.append(draw(values_of(parameter, path[0])))
    accident = draw(st.sampled_from([None, None, None, "drop", "double", "insert"]))
    at = draw(st.integers(0, max(len(words) - 1, 0)))
    if words and accident == "drop":
        del words[at]
    elif words and accident == "double":
        words.insert(at, words[at])
    elif accident == "insert":
        words.insert(at, draw(st.sampled_from(ODD_TEXTS)))
    return [*path, *[word for word in words if "\0" not in word]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, two runs, and odd things at other paths."""
    root = tmp_path_factory.mktemp("fuzz")
    write_shop(root)
    (root / "empty").mkdir()
    (root / "text.txt").write_text("hello")
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    (root / "link").symlink_to("shop")
    return root


@settings(FUZZ, max_examples=int(CASES or 80))
@given(words=command_lines())
def test_a_damaged_command_line_ends_in_a_result_or_one_line(words: list[str], place: Path) -> None:
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        shutil.copytree(place, name, symlinks=True, dirs_exist_ok=True)
        os.mkfifo("pipe")
        os.mkfifo("pipe.csv")
        before = {path.name for path in Path().iterdir()}
        result = call(words)
        if result.code == 2:
            left = {path.name for path in Path().iterdir()} - before
            assert not [path for path in left if path.startswith(".")], (words, left)
            if "--json" in words:
                assert result.out == "", words
        elif "--json" in words:
            json.loads(result.out, parse_constant=lambda text: pytest.fail(f"{text} in {words}"))
