import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import prismrec
from prismrec.data import Dataset
from prismrec.demo import ShopConfig, make_shop
from prismrec.errors import InputError
from prismrec.records import Settings
from prismrec.runs import Manifest, Run, find_problems

FILES = {
    "config.json",
    "model.safetensors",
    "embeddings.safetensors",
    "newcomers.safetensors",
    "features.safetensors",
    "users.parquet",
    "items.parquet",
    "interactions.parquet",
    "history.jsonl",
    "metrics.json",
}


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return make_shop(ShopConfig(users=120, items=80, interactions=1200)).dataset()


@pytest.fixture(scope="module")
def run(shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "run"
    return prismrec.train("LGMRec", shop, {"batch_size": 256}, Settings(epochs=3), out=out)


def test_a_run_directory_has_plain_files_and_the_last_state(run: Run) -> None:
    assert {path.name for path in run.folder.iterdir()} == FILES | {"checkpoint"}
    assert [path.name for path in (run.folder / "checkpoint").iterdir()] == ["state.safetensors"]


def test_a_loaded_run_gives_the_same_numbers_without_the_data(run: Run, shop: Dataset) -> None:
    loaded = Run.load(run.folder)
    assert loaded.evaluate("test").to_dict() == run.evaluate("test").to_dict()
    assert loaded.evaluate("valid", cutoffs=[20])["recall@20"] == pytest.approx(
        max(record.valid["recall@20"] for record in run.history), rel=1e-6
    )
    assert loaded.recommend(shop.users.id(3)).equals(run.recommend(shop.users.id(3)))
    assert loaded.manifest == run.manifest
    assert loaded.history == run.history
    assert json.loads((run.folder / "metrics.json").read_text())["test"] == loaded.evaluate("test").to_dict()


def test_a_column_of_the_item_table_may_be_called_item(shop: Dataset, tmp_path: Path) -> None:
    codes = [f"code {number}" for number in range(len(shop.items))]
    described = replace(shop, catalog=shop.catalog.with_columns(item=pl.Series(codes)))
    run = prismrec.train("MF-BPR", described, settings=Settings(epochs=1), out=tmp_path / "run")
    loaded = Run.load(run.folder)
    assert loaded.catalog["item"].to_list() == codes
    assert loaded.items.ids.equals(shop.items.ids)
    assert loaded.recommend(shop.users.id(0), k=1, where="item = 'code 3'", seen=True)["item_item"][0] == "code 3"


def test_run_load_reads_the_same_folder(run: Run) -> None:
    assert Run.load(str(run.folder)).manifest == Run.load(run.folder).manifest


def test_loading_a_run_imports_no_model(run: Run) -> None:
    program = """
import sys
from pathlib import Path
from prismrec.runs import Run
run = Run.load(Path(sys.argv[1]))
print(len(run.recommend(run.users.id(0))), run.evaluate("test").num_users)
imported = [name for name in sys.modules if name.startswith(("prismrec.models", "prismrec.nn", "prismrec.training"))]
sys.exit(f"imported {imported}" if imported else 0)
"""
    command = [sys.executable, "-c", program, str(run.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["10", str(run.evaluate("test").num_users)]


def test_the_manifest_reads_back_as_written(run: Run) -> None:
    assert Manifest.model_validate_json(run.manifest.model_dump_json()) == run.manifest
    assert run.manifest.modalities.keys() == {"image", "text"}


def test_a_folder_without_a_finished_run_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no run"):
        Run.load(tmp_path)
    (tmp_path / "config.json").write_text(run.manifest.model_dump_json())
    with pytest.raises(InputError, match="unfinished run"):
        Run.load(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(
        InputError, match=r"history\.jsonl: found no such file or folder; expected the file that the run wrote"
    ):
        Run.load(tmp_path)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_damaged_file_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(b"half a file")
    with pytest.raises(InputError, match=r"complete files|other contents|metrics of a finished run"):
        Run.load(tmp_path / "run")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"settings": {"metric": "recall@7"}}, r"no recall@7 in epoch 1; expected the validation metric"),
        ({"data": "\ud800"}, "half of a surrogate pair"),
    ],
)
def test_a_manifest_that_contradicts_the_run_is_refused(
    run: Run, tmp_path: Path, values: dict[str, object], message: str
) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    content = json.loads((run.folder / "config.json").read_text())
    content |= values if "settings" not in values else {"settings": content["settings"] | values["settings"]}
    (tmp_path / "run" / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        Run.load(tmp_path / "run")
    assert find_problems(tmp_path / "run") != []
