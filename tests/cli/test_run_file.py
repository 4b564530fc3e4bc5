"""`prismrec train --config`."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from prismrec.cli import app
from prismrec.cli.run_file import read_run_file
from prismrec.demo import ShopConfig, write_shop
from prismrec.errors import InputError
from prismrec.runs import Run

YAML = """
model: MF-BPR
source: {source}
options:
  by: user
  ratios: 6:2:2
  split_seed: 4
config:
  embedding_size: 8
  learning_rate: 1e-2
settings:
  epochs: 2
  seed: 3
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config") / "shop"
    write_shop(folder, ShopConfig(users=120, items=80, interactions=1200))
    return folder


def train(*words: object) -> Run:
    done = CliRunner().invoke(app, ["train", *map(str, words), "--quiet"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return Run.load(words[words.index("--out") + 1])


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def same(first: Run, second: Run) -> bool:
    return torch.equal(first.embeddings.users, second.embeddings.users)


def test_a_yaml_file_and_the_options_that_it_stands_for_give_the_same_run(shop: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "run.yaml", YAML.format(source=shop))
    by_file = train("--config", path, "--out", tmp_path / "file")
    data = ("--by", "user", "--ratios", "6:2:2", "--split-seed", 4)
    config = ("--set", "embedding_size=8", "--set", "learning_rate=0.01")
    by_options = train("MF-BPR", shop, *data, *config, "--epochs", 2, "--seed", 3, "--out", tmp_path / "options")
    assert by_file.manifest == by_options.manifest
    assert same(by_file, by_options)


def test_the_config_json_of_a_run_gives_the_same_run(shop: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "run.yaml", YAML.format(source=shop))
    first = train("--config", path, "--modality", "text", "--k-core", 2, "--out", tmp_path / "first")
    again = train("--config", tmp_path / "first/config.json", "--out", tmp_path / "again")
    assert again.manifest == first.manifest
    assert same(again, first)
    assert first.manifest.modalities.keys() == {"text"}


def test_the_command_line_overrides_the_file(shop: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "run.yaml", YAML.format(source="nowhere"))
    words = ("--config", path, "--seed", 0, "--set", "embedding_size=4", "--ratios", "8:1:1", "--out", tmp_path / "run")
    manifest = train(shop, *words).manifest
    assert manifest.settings.seed == 0  # the default value, but given
    assert manifest.settings.epochs == 2
    assert (manifest.config["embedding_size"], manifest.config["learning_rate"]) == (4, 0.01)
    assert manifest.origin.options == {"by": "user", "ratios": "8:1:1", "split_seed": 4}
    assert manifest.origin.source == str(shop)


def test_a_single_argument_may_be_another_model_for_the_data_of_the_file(shop: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "run.json", json.dumps({"source": str(shop), "settings": {"epochs": 1}}))
    assert train("LightGCN", "--config", path, "--out", tmp_path / "model").manifest.model == "LightGCN"


def test_other_data_in_the_place_of_those_of_the_run_are_refused(tmp_path: Path) -> None:
    source, other = tmp_path / "shop", tmp_path / "other"
    write_shop(source, ShopConfig(users=120, items=80, interactions=1200))
    write_shop(other, ShopConfig(users=100, items=80, interactions=1000))
    train("most-popular", source, "--out", tmp_path / "first")
    config = tmp_path / "first/config.json"
    assert train(other, "--config", config, "--out", tmp_path / "named").manifest.model == "most-popular"
    shutil.rmtree(source)
    other.rename(source)
    words = ["train", "--config", str(config), "--out", str(tmp_path / "x")]
    with pytest.raises(InputError, match=r"config\.json, fingerprint: found other data in shop.*name the data set"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert not (tmp_path / "x").exists()
    assert len(train(source, "--config", config, "--out", tmp_path / "x").users) == 100


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.yaml", "modle: MF-BPR", r"run\.yaml, modle: found no such key; expected one of model, source"),
        ("run.yaml", "settings: {sede: 1}", r"settings\.sede: found no such key; expected one of seed, epochs"),
        ("run.yaml", "options: {layout: table}", r"options\.layout: found no such key; expected one of format, by"),
        ("run.yaml", "model: MF-BPR\nconfig: {depth: 1}", r"run\.yaml, config\.depth: found no such hyperparameter"),
        ("run.yaml", "model: MF-BPR\nconfig: {batch_size: 0}", r"run\.yaml, config\.batch_size: found 0"),
        ("run.yaml", "config: {layers: 1}", r"config: found hyperparameters without a model"),
        ("run.yaml", "settings: {epochs: many}", r"settings\.epochs: found 'many'"),
        ("run.yaml", "options: {k_core: [1]}", r"options\.k_core: found \[1\]"),
        ("run.yaml", "model: A\nmodel: B", r"run\.yaml: found .*duplicate key \"model\""),
        ("run.json", '{"model": "A", "model": "B"}', r"run\.json: found the key 'model' twice"),
        ("run.yaml", "config: &a {x: 1}\nsettings: *a", r"run\.yaml: found an alias in line 2"),
        ("run.yaml", "model: !!python/object/apply:os.system [ls]", r"run\.yaml: found could not determine a con"),
        ("run.yaml", "model: a\nmodel: b", r'run\.yaml: found duplicate key "model" .* in line 2; expected YAML'),
        ("run.yaml", "model: a\n---\nmodel: b", r"run\.yaml: found another document in line 2; expected YAML"),
        ("run.yaml", "settings: {seed: true}", r"settings\.seed: found True; expected a number, not a truth value"),
        ("run.yaml", "options: {k_core: yes}", r"options\.k_core: found 'yes'"),
        ("run.yaml", "options: {k_core: true}", r"options\.k_core: found True; expected a number, not a truth value"),
        ("run.yaml", "model: BM3\nconfig: {dropout: true}", r"config\.dropout: found True; expected a number"),
        ("run.yaml", "- MF-BPR", r"run\.yaml: found list; expected keys and values"),
        ("run.yaml", "", r"run\.yaml: found NoneType"),
        ("run.yaml", "[" * 100_000, r"run\.yaml: found more than 20 levels in line 1"),
        ("run.json", json.dumps(dict.fromkeys(map(str, range(50_000)))), r"run\.json, 0: found no such key"),
        ("run.json", "[" * 100_000, r"run\.json: found "),
        ("run.json", "{", r"run\.json: found "),
        ("run.json", '{"fingerprint": 1}', r"run\.json: found not the config\.json of a run"),
        ("run.toml", "", r"found a file that ends in '\.toml'; expected a \.yaml, \.yml or \.json file"),
    ],
)
def test_bad_files_are_refused_with_the_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_run_file(written(tmp_path / name, text))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError, match=r"expected a \.yaml, \.yml or \.json file"):
            read_run_file(path)
    os.mkfifo(tmp_path / "fifo.yaml")
    for path in (tmp_path / "fifo.yaml", written(tmp_path / "long.yaml", "#" * 2**20 + "#")):
        with pytest.raises(InputError, match=r"expected a \.yaml, \.yml or \.json file"):
            read_run_file(path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="expected YAML in UTF-8 with keys and values"):
        read_run_file(tmp_path / "bytes.yaml")


@pytest.mark.parametrize(("name", "text"), [("run.yaml", "model: MF-BPR"), ("run.json", '{"model": "MF-BPR"}')])
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path, name: str, text: str) -> None:
    assert read_run_file(written(tmp_path / name, "\ufeff" + text)).model == "MF-BPR"


def test_a_run_with_parts_of_its_own_is_refused(shop: Path, tmp_path: Path) -> None:
    train("most-popular", shop, "--out", tmp_path / "run")
    content = json.loads((tmp_path / "run/config.json").read_text())
    content["custom"] = {"metric": "coverage"}
    with pytest.raises(InputError, match=r"found a run with parts of its own: \{'metric': 'coverage'\}"):
        read_run_file(written(tmp_path / "config.json", json.dumps(content)))


def test_without_a_data_set_in_file_or_arguments_there_is_one_clear_error(tmp_path: Path) -> None:
    path = written(tmp_path / "run.yaml", "model: MF-BPR")
    with pytest.raises(InputError, match="SOURCE: found none"):
        CliRunner().invoke(app, ["train", "--config", str(path), "--out", str(tmp_path / "x")], catch_exceptions=False)
