"""Updates of a run: new items, new users and new clicks."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import prismrec
from prismrec import training
from prismrec.data import Dataset, NewItems, load_clicks, load_items, write_table
from prismrec.demo import ShopConfig, make_shop
from prismrec.errors import InputError, ParameterError
from prismrec.experiments import continue_training
from prismrec.experiments.continue_training import grow_weights
from prismrec.experiments.refit import refit
from prismrec.experiments.train import build_model, settled_config
from prismrec.experiments.update import update
from prismrec.records import Settings
from prismrec.runs import Run, find_problems, locked
from prismrec.runs.folder import read_weights
from prismrec.training.checkpoint import copy_weights
from prismrec.types import Interactions, Vocabulary

KNOWN_ITEMS = 70
KNOWN_USERS = 110


def cut(pairs: Interactions) -> Interactions:
    kept = (pairs.users < KNOWN_USERS) & (pairs.items < KNOWN_ITEMS)
    return Interactions.from_pairs(pairs.users[kept], pairs.items[kept], KNOWN_USERS, KNOWN_ITEMS)


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return make_shop(ShopConfig(users=120, items=80, interactions=1500)).dataset()


@pytest.fixture(scope="module")
def known(shop: Dataset) -> Dataset:
    """The shop before the last items and users arrived."""
    return Dataset(
        name="shop",
        train=cut(shop.train),
        valid=cut(shop.valid),
        test=cut(shop.test),
        features={name: rows[:KNOWN_ITEMS] for name, rows in shop.features.items()},
        present={name: rows[:KNOWN_ITEMS] for name, rows in shop.present.items()},
        users=Vocabulary(shop.users.ids[:KNOWN_USERS], "user"),
        items=Vocabulary(shop.items.ids[:KNOWN_ITEMS], "item"),
        catalog=shop.catalog[:KNOWN_ITEMS],
    )


@pytest.fixture(scope="module")
def arrivals(shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the last items, in files."""
    folder = tmp_path_factory.mktemp("arrivals")
    last = np.arange(KNOWN_ITEMS, len(shop.items))
    (folder / "features").mkdir()
    shop.catalog[last].write_csv(folder / "items.csv")
    for name, rows in shop.features.items():
        np.savez(
            folder / "features" / f"{name}.npz", ids=shop.items.ids_of(last).to_numpy().astype(str), features=rows[last]
        )
    return folder


@pytest.fixture(scope="module")
def clicks(shop: Dataset) -> pl.DataFrame:
    """All training clicks of the whole shop, known ones among them."""
    train = shop.train
    return pl.DataFrame({"user": shop.users.ids_of(train.users), "item": shop.items.ids_of(train.items)})


@pytest.fixture(scope="module")
def run(known: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "run"
    return prismrec.train("LATTICE", known, {"batch_size": 256}, Settings(epochs=5), out=out)


def test_new_items_can_be_recommended_at_once(run: Run, shop: Dataset, arrivals: Path, tmp_path: Path) -> None:
    update(run, tmp_path / "new", items=load_items(arrivals))
    loaded = Run.load(tmp_path / "new")
    assert loaded.items.ids.to_list() == shop.items.ids.to_list()
    assert torch.equal(loaded.embeddings.items[:KNOWN_ITEMS], run.embeddings.items)
    assert loaded.catalog is not None
    assert loaded.catalog["title"].to_list() == shop.catalog["title"].to_list()
    recommended = set(loaded.recommend(k=20)["item"])
    assert recommended & set(shop.items.ids[KNOWN_ITEMS:])
    arrived = shop.items.id(KNOWN_ITEMS)
    for by in ("model", *shop.features):
        assert len(loaded.similar(arrived, 5, by=by)) == 5
    alike = set(loaded.similar(loaded.items.ids[:KNOWN_ITEMS].to_list(), 5, by="image")["item"])
    assert alike & set(shop.items.ids[KNOWN_ITEMS:])
    assert loaded.evaluate("test").num_users == run.evaluate("test").num_users


def test_the_old_run_still_answers(run: Run, arrivals: Path, tmp_path: Path) -> None:
    before = run.recommend(run.users.id(3))
    update(run, tmp_path / "new", items=load_items(arrivals))
    assert run.folder is not None
    assert Run.load(run.folder).recommend(run.users.id(3)).equals(before)


def test_new_clicks_move_their_users_alone(run: Run, clicks: pl.DataFrame, arrivals: Path, tmp_path: Path) -> None:
    user = run.users.id(3)
    unseen = sorted(set(run.items.ids) - set(clicks.filter(pl.col("user") == user)["item"]))[0]
    new = pl.DataFrame({"user": [user, "visitor", "visitor"], "item": [unseen, unseen, run.items.id(0)]})
    update(run, tmp_path / "new", clicks=new)
    loaded = Run.load(tmp_path / "new")
    assert loaded.users.ids.to_list() == [*run.users.ids, "visitor"]
    others = [number for number in range(KNOWN_USERS) if number != 3]
    assert torch.equal(loaded.embeddings.users[others], run.embeddings.users[others])
    assert not torch.equal(loaded.embeddings.users[3], run.embeddings.users[3])
    assert unseen not in loaded.recommend(user, 50)["item"].to_list()
    history = loaded.train.of_users(np.array([KNOWN_USERS]))
    torch.testing.assert_close(loaded.embeddings.users[KNOWN_USERS:], loaded.newcomers.embed_users(history))


def test_clicks_that_are_known_change_nothing(run: Run, clicks: pl.DataFrame, tmp_path: Path) -> None:
    known_pairs = pl.DataFrame({"user": run.users.ids_of(run.train.users), "item": run.items.ids_of(run.train.items)})
    updated = update(run, tmp_path / "new", clicks=known_pairs)
    assert torch.equal(updated.embeddings.users, run.embeddings.users)
    assert len(updated.train) == len(run.train)


def test_items_clicks_and_epochs_in_one_update(
    run: Run, known: Dataset, shop: Dataset, clicks: pl.DataFrame, arrivals: Path, tmp_path: Path
) -> None:
    update(run, tmp_path / "new", items=load_items(arrivals), clicks=clicks, epochs=2, dataset=known)
    loaded = Run.load(tmp_path / "new")
    assert len(loaded.users) == len(shop.users)
    assert len(loaded.history) == 2
    assert loaded.embeddings.users.shape[0] == len(shop.users)
    again = update(loaded, tmp_path / "newer", clicks=clicks[:1], epochs=1, dataset=shop)
    assert again.embeddings.items.shape == loaded.embeddings.items.shape


def test_training_begins_with_the_weights_of_the_run(run: Run, known: Dataset, tmp_path: Path) -> None:
    longer = update(run, tmp_path / "new", epochs=1, dataset=known)
    assert sum(longer.history[0].loss.values()) < sum(run.history[0].loss.values())


@pytest.mark.parametrize("change", ["name", "shape", "width"])
def test_weights_of_another_model_are_refused(change: str, run: Run, known: Dataset) -> None:
    model = build_model("LATTICE", known, settled_config(run), Settings())
    weights = dict(model.state_dict())
    table = weights.pop("user_table")
    if change != "name":
        weights["user_table"] = table[:-1] if change == "shape" else table[:, :-1]
    with pytest.raises(InputError, match="weight 'user_table': found"):
        grow_weights(weights, model, run)


@pytest.mark.parametrize("model", ["MMGCN", "GRCN"])
def test_one_table_of_users_and_items_keeps_its_rows_over_two_updates(
    model: str, shop: Dataset, known: Dataset, arrivals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first update adds items without training, and the second trains."""
    prismrec.train(model, known, settings=Settings(epochs=1), out=tmp_path / "old")
    update(Run.load(tmp_path / "old"), tmp_path / "first", items=load_items(arrivals))
    started: list[dict[str, torch.Tensor]] = []

    def fit(model, *parts, start, **named):
        start(model)
        started.append(copy_weights(model))
        return training.fit(model, *parts, start=start, **named)

    monkeypatch.setattr(continue_training, "fit", fit)
    update(Run.load(tmp_path / "first"), tmp_path / "second", epochs=1, dataset=shop)
    before, after = read_weights(tmp_path / "old")["node_table"], started[0]["node_table"]
    assert len(after) == len(before) + len(shop.items) - KNOWN_ITEMS
    assert torch.equal(after[: len(before)], before)
    assert Run.load(tmp_path / "second").manifest.weights_of is None


def test_validation_chooses_the_best_of_the_new_epochs(run: Run, known: Dataset, tmp_path: Path) -> None:
    longer = update(run, tmp_path / "new", epochs=3, dataset=known)
    scores = [(record.valid or {})["recall@20"] for record in longer.history]
    assert longer.best_epoch == 1 + scores.index(max(scores))
    assert longer.evaluate("valid")["recall@20"] == pytest.approx(max(scores), abs=1e-6)
    assert find_problems(tmp_path / "new") == []


def test_a_run_without_validation_keeps_the_last_epoch_and_says_so(run: Run, known: Dataset, tmp_path: Path) -> None:
    production = refit(run, known, tmp_path / "production")
    with pytest.warns(UserWarning, match="no validation interactions: the last epoch is kept"):
        longer = update(production, tmp_path / "new", epochs=2, dataset=known)
    assert longer.best_epoch == 2


def test_a_run_with_parts_of_the_caller_is_not_trained_without_them(known: Dataset, tmp_path: Path) -> None:
    def penalty(model, batch):
        return batch.users.float().mean()

    run = prismrec.train(
        "MF-BPR", known, settings=Settings(epochs=1), out=tmp_path / "run", loss_terms={"penalty": penalty}
    )
    with pytest.raises(InputError, match="loss terms of the caller"):
        update(run, tmp_path / "new", epochs=1, dataset=known)


@pytest.mark.filterwarnings("ignore:shop has no modalities")
def test_what_a_model_computes_from_all_data_is_computed_again(
    known: Dataset, clicks: pl.DataFrame, tmp_path: Path
) -> None:
    """Rows of the old and of the new eigenvectors cannot be mixed."""
    bare = replace(known, features={}, present={})
    run = prismrec.train("Spectral", bare, {"exponent": 2.0}, Settings(epochs=1), out=tmp_path / "run")
    of_known_items = clicks.filter(pl.col("item").is_in(bare.items.ids.to_list()))
    updated = update(run, tmp_path / "new", clicks=of_known_items, epochs=1)
    assert len(updated.users) > len(run.users)
    data = Dataset("shop", updated.train, updated.valid, updated.test, {}, {}, updated.users, updated.items)
    alone = prismrec.train("Spectral", data, run.manifest.config, Settings(epochs=1)).embeddings
    torch.testing.assert_close(
        updated.embeddings.users @ updated.embeddings.items.T, alone.users @ alone.items.T, rtol=1e-3, atol=1e-4
    )


def test_refit_keeps_the_hyperparameters_that_validation_chose(known: Dataset, tmp_path: Path) -> None:
    run = prismrec.train("Prism", known, {"embedding_size": 8}, Settings(epochs=2), out=tmp_path / "run")
    assert run.chosen
    production = refit(run, known, tmp_path / "production")
    assert {name: production.manifest.config[name] for name in run.chosen} == run.chosen
    assert production.chosen == {}


def test_an_item_of_the_run_is_refused(run: Run, known: Dataset, tmp_path: Path) -> None:
    again = NewItems(tmp_path, Vocabulary([known.items.id(2)], "item"), {}, None, ())
    with pytest.raises(InputError, match="that the run has"):
        update(run, tmp_path / "new", items=again)


def test_features_of_another_width_are_refused(run: Run, arrivals: Path, tmp_path: Path) -> None:
    items = load_items(arrivals)
    features = {name: rows[:, :-1] if name == "text" else rows for name, rows in items.features.items()}
    with pytest.raises(InputError, match=r"text.*columns"):
        update(run, tmp_path / "new", items=replace(items, features=features))


def test_a_missing_modality_is_refused(run: Run, arrivals: Path, tmp_path: Path) -> None:
    items = load_items(arrivals)
    with pytest.raises(InputError, match="no features 'image'"):
        update(run, tmp_path / "new", items=replace(items, features={"text": items.features["text"]}))


def test_an_unknown_item_in_the_clicks_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'lamp'"):
        update(run, tmp_path / "new", clicks=pl.DataFrame({"user": ["u"], "item": ["lamp"]}))


def test_training_needs_the_features(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="features"):
        update(run, tmp_path / "new", epochs=1)


def test_a_negative_number_of_epochs_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="epochs: found -1; expected 0 or more"):
        update(run, tmp_path / "new", epochs=-1)
    assert not (tmp_path / "new").exists()


def test_two_updates_at_once_to_one_folder_are_refused(run: Run, arrivals: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    out.mkdir()
    with locked(out), pytest.raises(InputError, match="another process"):
        update(run, out, items=load_items(arrivals))


def test_a_folder_with_a_run_is_refused(run: Run, arrivals: Path) -> None:
    assert run.folder is not None
    with pytest.raises(InputError, match="already there"):
        update(run, run.folder, items=load_items(arrivals))


def test_an_update_may_replace_the_run_that_it_reads(run: Run, clicks: pl.DataFrame, tmp_path: Path) -> None:
    run.save(tmp_path / "live")
    live = Run.load(tmp_path / "live")
    known = clicks.filter(pl.col("item").is_in(live.items.ids.implode()))
    updated = update(live, tmp_path / "live", clicks=known, overwrite=True)
    assert find_problems(tmp_path / "live") == []
    assert len(Run.load(tmp_path / "live").users) == len(updated.users) > len(run.users)


class _StopError(Exception):
    """Stands for whatever ends a training."""


class _StopAt(training.Callback):
    def on_epoch(self, epoch: training.EpochEnd) -> None:
        if epoch.record.epoch == 2:
            raise _StopError


def test_an_interrupted_refit_is_continued_to_the_same_run(run: Run, known: Dataset, tmp_path: Path) -> None:
    whole = refit(run, known, tmp_path / "whole")
    assert len(whole.history) > 2
    with pytest.raises(_StopError):
        refit(run, known, tmp_path / "cut", callbacks=[_StopAt()])
    with pytest.raises(InputError, match=r"resume \(--resume\) to continue it"):
        refit(run, known, tmp_path / "cut")
    refit(run, known, tmp_path / "cut", resume=True)
    name = "embeddings.safetensors"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_refit_trains_on_everything_for_the_chosen_epochs(run: Run, known: Dataset, tmp_path: Path) -> None:
    production = refit(run, known, tmp_path / "production")
    best = max(run.history, key=lambda record: (record.valid or {})["recall@20"])
    assert len(production.history) == best.epoch
    assert len(production.train) == len(known.train) + len(known.valid) + len(known.test)
    assert production.newcomers.user_map.settings == run.newcomers.user_map.settings
    assert Run.load(tmp_path / "production").recommend(known.users.id(0)).height == 10


def test_the_command_line_updates_and_refits(
    run: Run, known: Dataset, arrivals: Path, clicks: pl.DataFrame, tmp_path: Path
) -> None:
    clicks.rename({"user": "user_id", "item": "item_id"}).write_csv(tmp_path / "clicks.csv")
    assert load_clicks(tmp_path / "clicks.csv").height == clicks.height
    write_table(known, tmp_path / "shop")

    def prismrec_command(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from prismrec.cli import main; main()", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    words = ("update", run.folder, "--items", arrivals, "--interactions", tmp_path / "clicks.csv")
    done = prismrec_command(*words, "--out", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert "added 10 items, 10 users" in done.stdout
    again = prismrec_command(*words, "--out", tmp_path / "new")
    assert again.returncode == 2
    assert "already there" in again.stderr
    replaced = prismrec_command(*words, "--out", tmp_path / "new", "--overwrite", "--quiet")
    assert replaced.returncode == 0, replaced.stderr
    assert replaced.stderr == ""
    refit_words = ("refit", run.folder, "--data", tmp_path / "shop", "--out", tmp_path / "production", "-q")
    refitted = prismrec_command(*refit_words)
    assert refitted.returncode == 0, refitted.stderr
    assert refitted.stderr == ""
    assert prismrec_command(*refit_words).returncode == 2
    assert prismrec_command(*refit_words, "--overwrite").returncode == 0
