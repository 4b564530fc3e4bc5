"""The commands in processes of their own, with their exit codes, standard output and standard error."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from prismrec.demo import ShopConfig, write_shop
from prismrec.models import REGISTRY

Prismrec = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def prismrec() -> Prismrec:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160", "NO_COLOR": "1"}

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from prismrec.cli import main; main()", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return run


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands") / "shop"
    write_shop(folder, ShopConfig(users=120, items=80, interactions=1200))
    return folder


@pytest.fixture(scope="module")
def run(prismrec: Prismrec, shop: Path) -> Path:
    out = shop.parent / "run"
    done = prismrec("train", "lgmrec", shop, "--out", out, "--epochs", 2, "--set", "layers=1", "--seed", 3)
    assert done.returncode == 0, done.stderr
    assert "best epoch" in done.stdout
    assert "reached the limit of 2 epochs" in done.stdout
    assert done.stderr.count("\nepoch") + done.stderr.startswith("epoch") == 2  # plain lines without a terminal
    return out


def test_train_records_its_options(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    assert (config["model"], config["config"]["layers"], config["settings"]["seed"]) == ("LGMRec", 1, 3)


def test_train_without_a_model_trains_prism_and_says_what_it_chose(prismrec: Prismrec, shop: Path) -> None:
    out = shop.parent / "prism"
    done = prismrec("train", shop, "--out", out, "--epochs", 2)
    assert done.returncode == 0, done.stderr
    assert "chosen by validation: added_degree = " in done.stdout
    assert json.loads((out / "config.json").read_text())["model"] == "Prism"


def test_train_with_a_model_alone_asks_for_the_data(prismrec: Prismrec, tmp_path: Path) -> None:
    done = prismrec("train", "lightgcn", "--out", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.startswith("prismrec: SOURCE: found none after the model lightgcn; expected a folder")


def test_a_model_after_the_data_is_refused_with_the_right_order(prismrec: Prismrec, shop: Path, tmp_path: Path) -> None:
    done = prismrec("train", shop, "lightgcn", "--out", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.strip().endswith(f"expected the model first: lightgcn {shop}")


def test_train_json_prints_one_object(prismrec: Prismrec, shop: Path) -> None:
    done = prismrec("train", "most-popular", shop, "--out", shop.parent / "popular", "--json")
    answer = json.loads(done.stdout)
    assert answer["test"]["recall@20"] > 0
    assert "sha256" not in done.stdout


def test_evaluate_prints_a_table_or_one_object(prismrec: Prismrec, run: Path) -> None:
    assert "recall" in prismrec("evaluate", run).stdout
    first = prismrec("evaluate", run, "--split", "valid", "-k", "3,7", "--json").stdout
    second = prismrec("evaluate", run, "--split", "valid", "-k", "3,7", "--json").stdout
    assert first == second
    assert {"recall@3", "ndcg@7", "users", "split"} <= json.loads(first).keys()
    masked = json.loads(prismrec("evaluate", run, "--mask-valid", "--json").stdout)
    plain = json.loads(prismrec("evaluate", run, "--json").stdout)
    assert masked["recall@50"] >= plain["recall@50"]
    assert masked != plain


def test_compare_prints_a_table_or_one_object(prismrec: Prismrec, run: Path, shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "popular"
    prismrec("train", "most-popular", shop, "--out", other)
    shown = prismrec("compare", run, other, "--metric", "recall@7").stdout
    assert "recall@7" in shown
    assert "most-popular" in shown
    answer = json.loads(prismrec("compare", run, other, "--metric", "recall@7", "--json").stdout)
    [comparison] = answer["comparisons"]
    values = [row["recall@7"] for row in answer["runs"]]
    assert comparison["difference"] == pytest.approx(values[1] - values[0])
    assert comparison["interval"][0] <= comparison["difference"] <= comparison["interval"][1]
    assert comparison["t_p_holm"] == comparison["t_p"]  # one comparison
    prismrec("compare", run, other, "--metric", "recall@7", "--out", tmp_path / "report")
    assert "most-popular" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_quiet_training_prints_nothing_but_the_result(prismrec: Prismrec, shop: Path, tmp_path: Path) -> None:
    words = ("train", "MF-BPR", shop, "--epochs", 2)
    assert prismrec(*words, "--out", tmp_path / "quiet", "--quiet").stderr == ""
    verbose = prismrec(*words, "--out", tmp_path / "verbose", "-v").stderr
    assert verbose.count("epoch ") == 2
    assert "prismrec: note: split" in verbose


def test_evaluate_divides_users_into_groups(prismrec: Prismrec, run: Path) -> None:
    whole = json.loads(prismrec("evaluate", run, "--groups", 3, "--json").stdout)
    parts = whole["groups"].values()
    assert sum(part["users"] for part in parts) == whole["users"]
    assert sum(part["users"] * part["recall@20"] for part in parts) == pytest.approx(
        whole["users"] * whole["recall@20"]
    )


def test_evaluate_divides_held_out_items_into_groups(prismrec: Prismrec, run: Path) -> None:
    whole = json.loads(prismrec("evaluate", run, "--item-groups", 3, "--json").stdout)
    assert len(whole["item_groups"]) == 3
    assert all(0 < part["users"] <= whole["users"] for part in whole["item_groups"].values())
    printed = prismrec("evaluate", run, "--item-groups", 3, "-k", 5).stdout
    for label, part in whole["item_groups"].items():
        assert re.search(rf"{re.escape(label)} +│ +{part['users']} │ {part['recall@5']:.4f} ", printed)


def test_recommend_lists_for_one_some_or_all_users(prismrec: Prismrec, run: Path, tmp_path: Path) -> None:
    assert "for u005" in prismrec("recommend", run, "--user", "u005", "-k", 3).stdout
    lists = json.loads(prismrec("recommend", run, "--user", "u005", "--user", "u009", "-k", 3, "--json").stdout)
    assert [len(rows) for rows in lists.values()] == [3, 3]
    assert lists["u005"][0]["rank"] == 1
    for suffix, read in ((".csv", pl.read_csv), (".json", pl.read_json), (".parquet", pl.read_parquet)):
        out = tmp_path / f"all{suffix}"
        assert prismrec("recommend", run, "--all", "-k", 3, "--out", out).returncode == 0
        table = read(out)
        assert len(table) == 3 * 120
        assert table.filter(pl.col("user") == "u005")["item"].to_list() == [row["item"] for row in lists["u005"]]
    assert prismrec("recommend", run, "--all", "-k", 1).stdout.startswith("user,rank,item,score")


def test_a_model_may_be_in_the_current_folder(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from prismrec.models.mf_bpr import MFBPR\nclass Mine(MFBPR):\n    name = 'Mine'\n"
    )
    command = [sys.executable, "-P", "-c", "from prismrec.cli import main; main()"]  # like the installed script
    words = ["train", "mine:Mine", str(shop), "--out", "run", "--epochs", "1", "-q"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "Mine on shop" in done.stdout


def test_models_describes_all_models_or_one(prismrec: Prismrec) -> None:
    assert json.loads(prismrec("models", "--json").stdout).keys() == REGISTRY.keys()
    text = prismrec("models", "lightgcn").stdout
    for word in ("He et al., SIGIR 2020", "layers", "integer ≥ 0", "cost of a step"):
        assert word in text


def test_demo_trains_models_and_recommends(prismrec: Prismrec, tmp_path: Path) -> None:
    done = prismrec("demo", "--out", tmp_path / "demo", "--users", 120, "--items", 80, "--interactions", 1200)
    assert done.returncode == 0, done.stderr
    for name in ("most-popular", "MF-BPR", "LightGCN", "VBPR", "LGMRec"):
        assert name in done.stdout
        assert (tmp_path / "demo/runs" / name / "metrics.json").exists()
    assert done.stdout.count("│ 10 ") == 1
    assert (tmp_path / "demo/shop/interactions.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "SVD", "{shop}", "--out", "{tmp}/x"), "model: found 'SVD'"),
        (("train", "LGMRec", "{tmp}/nowhere", "--out", "{tmp}/x"), "nowhere"),
        (("train", "LGMRec", "{shop}", "--out", "{tmp}/x", "--set", "layers"), "--set: found 'layers'"),
        (("train", "LGMRec", "{shop}", "--out", "{tmp}/x", "--set", "layers=1", "--set", "layers=2"), "two values"),
        (("train", "LGMRec", "{shop}", "--out", "{tmp}/x", "--set", "depth=1"), "no such hyperparameter"),
        (("train", "LGMRec", "{shop}", "--out", "{tmp}/x", "--patience", "0"), "--patience: found '0'; expected auto"),
        (("train", "LGMRec", "{shop}", "--out", "{tmp}/x", "--patience", "²"), "--patience: found '²'"),
        (("train", "LGMRec", "{shop}", "--out", "{tmp}/x", "--device", "tpu"), "--device: found 'tpu'"),
        (("train", "LGMRec", "{shop}", "--out", "{tmp}/x", "--precision", "int8"), "--precision: found 'int8'"),
        (("train", "LGMRec", "{shop}", "--out", "{tmp}/x", "--normalise", "z"), "--normalise: found 'z'"),
        (
            ("train", "LightGCN", "{shop}", "--out", "{tmp}/x", "--precision", "bf16"),
            "no products of constant features",
        ),
        (("train", "LGMRec", "{shop}", "--out", "{tmp}/x", "--metric", "auc@20"), "--metric: found 'auc@20'"),
        (("train", "LGMRec", "{shop}", "--out", "{run}"), "something already there"),
        (("train", "LGMRec", "{shop}", "--out", "{run}", "--resume"), "config.json: found config ="),
        (("train", "LGMRec", "{shop}", "--out", "{tmp}/x", "--set", "learning_rate=1e30"), "weights, epoch 1: found"),
        (("evaluate", "{tmp}"), "found no run"),
        (("compare", "{run}"), "RUNS: found one run"),
        (("compare", "{run}", "{tmp}"), "found no run"),
        (("compare", "{run}", "{run}", "--metric", "auc@20"), "--metric: found 'auc@20'"),
        (("evaluate", "{run}", "--split", "train"), "split: found 'train'"),
        (("evaluate", "{run}", "-k", "ten"), "--cutoffs: found 'ten'"),
        (("evaluate", "{run}", "-k", "5,²"), "--cutoffs: found '5,²'"),
        (("evaluate", "{run}", "-k", "٣"), "--cutoffs: found '٣'"),
        (("recommend", "{run}"), "--user ID, --history ITEM,ITEM or --all"),
        (("recommend", "{run}", "--user", "nobody"), "user id: found 'nobody'"),
        (("recommend", "{run}", "--user", "u005", "-k", "0"), "-k: found 0"),
        (("recommend", "{run}", "--all", "--out", "{tmp}/all.xlsx"), ".csv, .json, .parquet"),
        (("models", "SVD"), "expected one of Prism"),
        (("data", "describe", "{tmp}"), "{tmp}"),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(
    prismrec: Prismrec, shop: Path, run: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    places = {"shop": shop, "run": run, "tmp": tmp_path}
    filled = [word.format(**places) for word in words]
    done = prismrec(*filled)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("prismrec: ")
    assert message.format(**places) in last
    assert "Traceback" not in done.stderr
