"""The examples of docs/callbacks.md."""

import ast
import dataclasses
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import prismrec
from prismrec.data import Dataset
from prismrec.demo import ShopConfig, make_shop, write_shop
from prismrec.training import Callback, EpochEnd, TrainingEnd, TrainingStart

PAGE = (Path(prismrec.__file__).parents[2] / "docs" / "callbacks.md").read_text(encoding="utf-8")
BLOCKS = [block.split("```")[0] for block in PAGE.split("```python\n")[1:]]
SMALL = ShopConfig(users=150, items=90, interactions=1500)
TWO_EPOCHS = prismrec.Settings(epochs=2)
RECEIVED = {"start": TrainingStart, "epoch": EpochEnd, "end": TrainingEnd}


def block(word: str) -> str:
    """The example that contains a word."""
    [found] = [each for each in BLOCKS if word in each]
    return found


def names(word: str) -> dict[str, object]:
    """What an example defines."""
    namespace: dict[str, object] = {}
    exec(compile(block(word), "docs/callbacks.md", "exec"), namespace)
    return namespace


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return make_shop(SMALL).dataset()


def run_example(word: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The variables of an example that trains on a data set called "shop", with two epochs instead of all."""
    write_shop(folder / "shop", SMALL)
    monkeypatch.chdir(folder)
    source = block(word).replace(", data, ", ", data, settings=prismrec.Settings(epochs=2), ")
    namespace: dict[str, object] = {}
    exec(compile(source, "docs/callbacks.md", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("word", ["class TimeLimit", "def coverage", "class PopularNegatives", "def long_rows"])
def test_an_example_that_trains_runs(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(run_example(word, tmp_path, monkeypatch)["run"].history) == 2


def test_a_line_is_printed_after_each_epoch(shop: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    progress = names("class Progress")["Progress"]
    prismrec.train("MF-BPR", shop, settings=TWO_EPOCHS, callbacks=[progress()])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["1", "2"]


def test_the_time_limit_stops_the_training(shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = run_example("class TimeLimit", tmp_path, monkeypatch)
    run = prismrec.train("MF-BPR", shop, settings=TWO_EPOCHS, callbacks=[example["TimeLimit"](0)])
    assert run.ending.describe("recall@20") == "stopped after epoch 1 by a callback: 0 s are over"


def test_the_tensorboard_example_writes_what_tensorboard_reads(shop: Dataset, tmp_path: Path) -> None:
    tensorboard = names("SummaryWriter")["TensorBoard"](tmp_path)
    run = prismrec.train("MF-BPR", shop, settings=TWO_EPOCHS, callbacks=[tensorboard])
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    written = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    expected = {}
    for record in run.history:
        values = {f"loss/{name}": value for name, value in record.loss.items()}
        values |= {f"valid/{name}": value for name, value in record.valid.items()}
        for name, value in values.items():
            expected.setdefault(name, []).append((record.epoch, float(torch.tensor(value))))  # TensorBoard has float32
    assert written == expected
    assert events.Tags()["tensors"] == ["config/text_summary"]


@pytest.mark.parametrize("word", ["class MLflow", "class WandB", "class TensorBoard"])
def test_an_example_of_a_tracker_uses_the_protocol(word: str) -> None:
    """Trackers that are not installed here."""
    tree = ast.parse(block(word))
    methods = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name != "__init__"]
    assert {method.name for method in methods} <= {name for name in vars(Callback) if name.startswith("on_")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in RECEIVED:
            assert node.attr in {field.name for field in dataclasses.fields(RECEIVED[node.value.id])}
