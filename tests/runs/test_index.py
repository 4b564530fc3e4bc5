"""The index of a run: built by `prismrec index`, used above a size, and never with other embeddings."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import prismrec
from prismrec.data import Dataset
from prismrec.demo import ShopConfig, make_shop
from prismrec.errors import InputError, ParameterError
from prismrec.experiments.synthetic import random_dataset
from prismrec.records import Settings
from prismrec.retrieval import indexed_search
from prismrec.retrieval.indexed_search import IndexedSearch
from prismrec.retrieval.search import ExactSearch
from prismrec.retrieval.similar import MODEL, SCORE
from prismrec.runs import Run, build_index, bulk, find_problems, locked
from prismrec.runs import index as index_of_runs
from prismrec.types import Embeddings, Interactions, Vocabulary

pytest.importorskip("faiss", reason="faiss is not installed: pip install faiss-cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = make_shop(ShopConfig(users=150, items=120, interactions=1500)).dataset()
    folder = tmp_path_factory.mktemp("runs") / "run"
    prismrec.train("LightGCN", data, settings=Settings(epochs=3), out=folder)
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def small_runs_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_of_runs, "LEAST_ITEMS", 10)
    monkeypatch.setattr(index_of_runs, "_LARGEST_SHARE", 1.0)
    monkeypatch.setattr(indexed_search, "_LEAST_ALLOWED", 10)


def searches(run: Run) -> list[type]:
    return [type(run.retriever._matrices.search(by)) for by in (SCORE, MODEL)]


@pytest.mark.usefixtures("small_runs_use_it")
def test_a_run_searches_with_its_index_and_lists_nearly_the_same(folder: Path) -> None:
    record = build_index(Run.load(folder), 0.99)
    run, exact = Run.load(folder), Run.load(folder, exact=True)
    assert searches(run) == [IndexedSearch, IndexedSearch]
    assert IndexedSearch not in searches(exact)
    assert record.score.recall > 0.9
    users = run.users.ids.to_list()
    found, expected = run.recommend(users, 10), exact.recommend(users, 10)
    both = found.join(expected, on=["user", "item"], how="inner")
    assert len(both) > 0.95 * len(expected)
    assert np.allclose(both["score"], both["score_right"], atol=1e-6)
    for question in (
        lambda run: run.similar(run.items.id(0), 5),
        lambda run: run.recommend(histories=[run.items.id(0), run.items.id(3)], k=5),
        lambda run: run.recommend(users[0], 5, candidates=run.items.ids[:40].to_list()),
    ):
        assert question(run)["rank"].to_list() == question(exact)["rank"].to_list()


def test_small_runs_are_searched_exactly(folder: Path) -> None:
    build_index(Run.load(folder))
    assert IndexedSearch not in searches(Run.load(folder))


def test_vectors_without_groups_are_searched_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_of_runs, "LEAST_ITEMS", 10)
    data = random_dataset(200, 4000, 8000, {}, seed=0)
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(4200, 32, generator=rng)
    centres = 10 * torch.randn(40, 32, generator=rng)
    prismrec.train("most-popular", data, out=tmp_path / "run")
    run = Run.load(tmp_path / "run")
    for name, rows, expected in (
        ("noise", noise, ExactSearch),
        ("groups", centres[torch.arange(4200) % 40] + noise, IndexedSearch),
    ):
        embeddings = Embeddings(users=rows[:200], items=rows[200:])
        replace(run, embeddings=embeddings, folder=None, weights={}).save(tmp_path / name)
        record = build_index(Run.load(tmp_path / name))
        assert searches(Run.load(tmp_path / name))[0] is expected, record
        assert record.score.used is (expected is IndexedSearch)


@pytest.mark.usefixtures("small_runs_use_it")
def test_a_pickled_run_keeps_its_way_to_search(folder: Path) -> None:
    import pickle

    build_index(Run.load(folder))
    for exact in (False, True):
        again = pickle.loads(pickle.dumps(Run.load(folder, exact=exact)))
        assert (IndexedSearch in searches(again)) is not exact


def test_an_index_of_another_run_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    run = Run.load(folder)
    items = torch.roll(run.embeddings.items, 1)
    other = replace(run, embeddings=replace(run.embeddings, items=items), folder=None, weights={})
    other.save(tmp_path / "other")
    build_index(Run.load(tmp_path / "other"))
    shutil.copytree(tmp_path / "other" / "index", folder / "index")
    for question in (lambda: run.recommend(run.users.id(0)), lambda: run.similar(run.items.id(0))):
        with pytest.raises(InputError, match="an index of other embeddings"):
            question()
    assert len(Run.load(folder, exact=True).recommend(run.users.id(0))) == 10
    assert [problem.found for problem in find_problems(folder)] == ["an index of other embeddings"]
    build_index(run)
    assert find_problems(folder) == []


@pytest.mark.usefixtures("small_runs_use_it")
@pytest.mark.parametrize("name", ["score.faiss", "similar.faiss", "index.json"])
@pytest.mark.parametrize("damage", ["removed", "shortened", "changed"])
def test_damaged_files_are_refused(folder: Path, name: str, damage: str) -> None:
    build_index(Run.load(folder))
    path = folder / "index" / name
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "shortened" else b"?" + content[1:])
    run = Run.load(folder)
    with pytest.raises(InputError, match=name):
        run.similar(run.items.id(0))
        run.recommend(run.users.id(0))
    assert [Path(problem.where).name for problem in find_problems(folder)] == [name]


def test_no_file_of_the_index_is_a_pickle(folder: Path) -> None:
    build_index(Run.load(folder))
    for path in (folder / "index").iterdir():
        assert path.suffix in (".faiss", ".json")
        assert not path.read_bytes().startswith(b"\x80")


def test_a_new_run_in_the_folder_has_no_index(folder: Path) -> None:
    run = Run.load(folder)
    build_index(run)
    replace(run, weights=None).save(folder, overwrite=True)
    assert not (folder / "index").exists()
    assert len(Run.load(folder).recommend(run.users.id(0))) == 10


def test_parts_of_lists_from_an_index_and_from_exact_search_are_not_mixed(folder: Path, tmp_path: Path) -> None:
    first = bulk._identity(Run.load(folder))
    build_index(Run.load(folder))
    assert bulk._identity(Run.load(folder)) != first
    assert bulk._identity(Run.load(folder, exact=True)) == first


def test_what_cannot_be_built_is_refused(folder: Path) -> None:
    run = Run.load(folder)
    for recall in (0.0, 1.0, -1, float("nan")):
        with pytest.raises(ParameterError, match="recall"):
            build_index(run, recall)
    with pytest.raises(InputError, match="no folder"):
        build_index(replace(run, folder=None))
    with locked(folder), pytest.raises(InputError, match="another process"):
        build_index(run)
    assert not (folder / "index").exists()


@pytest.mark.parametrize(("users", "items"), [(1, 2), (2, 1), (3, 3)])
@pytest.mark.filterwarnings("error")
def test_the_smallest_runs_can_be_indexed(tmp_path: Path, users: int, items: int) -> None:
    pairs = Interactions.from_pairs(*np.divmod(np.arange(users * items), items), users, items)
    nothing = Interactions.from_pairs([], [], users, items)
    ids = [
        Vocabulary([f"{kind}{number}" for number in range(count)], kind) for kind, count in (("u", users), ("i", items))
    ]
    data = Dataset("tiny", pairs, nothing, nothing, {}, {}, *ids)
    folder = tmp_path / "run"
    prismrec.train("most-popular", data, settings=Settings(epochs=1), out=folder)
    record = build_index(Run.load(folder))
    assert record.score.recall == record.similar.recall == 1
    assert find_problems(folder) == []


def test_the_command_reports_the_recall(folder: Path) -> None:
    def prismrec_command(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "prismrec", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = prismrec_command("index", str(folder))
    assert done.returncode == 0, done.stderr
    assert "recommend: recall@100" in done.stdout
    assert "searched exactly" in done.stderr
    as_json = json.loads(prismrec_command("index", str(folder), "--json").stdout)
    assert 0.5 < as_json["similar"]["recall"] <= 1
    user = Run.load(folder).users.id(0)
    exact = prismrec_command("recommend", str(folder), "--user", user, "--exact", "--json")
    assert exact.returncode == 0, exact.stderr
    refused = prismrec_command("index", str(folder), "--recall", "2")
    assert refused.returncode == 2
    assert refused.stderr == "prismrec: --recall: found 2.0; expected a number between 0 and 1\n"
