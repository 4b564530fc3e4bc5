"""Training that starts from the weights of another run: `init`."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import prismrec
from prismrec.cli import app
from prismrec.cli.run_file import find_initial_run, read_run_file
from prismrec.data import Dataset, write_table
from prismrec.demo import ShopConfig, make_shop
from prismrec.errors import InputError
from prismrec.experiments.refit import refit
from prismrec.models import REGISTRY
from prismrec.records import Settings
from prismrec.runs import RowsTaken, Run
from prismrec.runs.folder import read_weights
from prismrec.training import Callback, EpochEnd
from prismrec.types import Interactions, Vocabulary

SMALL = {"embedding_size": 16, "batch_size": 256}
TWO = Settings(epochs=2)
WARNING = "ignore:starts from the weights"


def part(data: Dataset, users: np.ndarray, items: np.ndarray) -> Dataset:
    """The data of some users and items, in the given order."""
    new_user = np.full(len(data.users), -1)
    new_user[users] = np.arange(len(users))
    new_item = np.full(len(data.items), -1)
    new_item[items] = np.arange(len(items))

    def cut(pairs: Interactions) -> Interactions:
        kept = (new_user[pairs.users] >= 0) & (new_item[pairs.items] >= 0)
        return Interactions.from_pairs(new_user[pairs.users[kept]], new_item[pairs.items[kept]], len(users), len(items))

    return Dataset(
        name=data.name,
        train=cut(data.train),
        valid=cut(data.valid),
        test=cut(data.test),
        features={name: rows[items] for name, rows in data.features.items()},
        present={name: rows[items] for name, rows in data.present.items()},
        users=Vocabulary(data.users.ids.gather(users), "user"),
        items=Vocabulary(data.items.ids.gather(items), "item"),
    )


@pytest.fixture(scope="module")
def shop() -> Dataset:
    """As many users as items, so that the numbers of rows alone do not tell them apart."""
    return part(
        make_shop(ShopConfig(users=100, items=100, interactions=1500)).dataset(), np.arange(100), np.arange(100)
    )


@pytest.fixture(scope="module")
def older(shop: Dataset) -> Dataset:
    """The shop in another order, without its last users and items."""
    draw = np.random.default_rng(1)
    return part(shop, draw.permutation(90), draw.permutation(90))


@pytest.fixture(scope="module")
def run(older: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "older"
    return prismrec.train("MF-BPR", older, SMALL, Settings(epochs=12), out=out)


def scores(run: Run, users: list[str], items: list[str]) -> torch.Tensor:
    """`[users, items]`."""
    rows = run.embeddings.users[[run.users.number(each) for each in users]]
    columns = run.embeddings.items[[run.items.number(each) for each in items]]
    return rows @ columns.T


def still(config: dict[str, object]) -> dict[str, object]:
    """A learning rate with which training changes next to nothing, so that a run shows what it started from."""
    return {**config, "learning_rate": 1e-12}


@pytest.mark.parametrize("model", [name for name in REGISTRY if name not in ("most-popular", "Spectral")])
def test_every_model_starts_where_the_run_ended_although_the_order_is_another(older: Dataset, model: str) -> None:
    epoch = Settings(epochs=1, validate_every=2)
    earlier = prismrec.train(model, older, SMALL, epoch)
    reverse = part(older, np.arange(90)[::-1], np.arange(90)[::-1])
    again = prismrec.train(model, reverse, still(SMALL), epoch, init=earlier)
    users, items = older.users.ids.to_list(), older.items.ids.to_list()
    torch.testing.assert_close(scores(again, users, items), scores(earlier, users, items), rtol=1e-3, atol=1e-4)
    cold = prismrec.train(model, reverse, still(SMALL), Settings(epochs=1, validate_every=2, seed=7))
    assert not torch.allclose(scores(cold, users, items), scores(earlier, users, items), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings(WARNING)
def test_new_users_and_items_start_like_those_of_a_new_model(run: Run, shop: Dataset, older: Dataset) -> None:
    cold = prismrec.train("MF-BPR", shop, still(SMALL), TWO)
    warm = prismrec.train("MF-BPR", shop, still(SMALL), TWO, init=run)
    known, new = older.users.ids.to_list(), sorted(set(shop.users.ids) - set(older.users.ids))
    items = older.items.ids.to_list()
    torch.testing.assert_close(scores(warm, known, items), scores(run, known, items))
    newcomers = [shop.users.number(each) for each in new]
    torch.testing.assert_close(warm.embeddings.users[newcomers], cold.embeddings.users[newcomers])
    init = warm.manifest.init
    assert init is not None
    assert init.users == init.items == RowsTaken(taken=90, new=10, unused=0)


def test_what_was_taken_and_what_not_is_said_and_recorded(run: Run, shop: Dataset, tmp_path: Path) -> None:
    few = part(shop, np.arange(50, 100), np.arange(95))
    with pytest.warns(UserWarning, match=r"starts from the weights of .*older: \d+ users taken, \d+ new, \d+ unused"):
        prismrec.train("MF-BPR", few, SMALL, TWO, out=tmp_path / "run", init=run.folder)
    init = Run.load(tmp_path / "run").manifest.init
    assert init is not None
    assert init.run == str(run.folder)
    shared = len(set(few.users.ids) & set(run.users.ids))
    assert init.users == RowsTaken(taken=shared, new=50 - shared, unused=90 - shared)


def test_a_run_on_the_same_data_needs_no_warning(run: Run, older: Dataset, recwarn: pytest.WarningsRecorder) -> None:
    prismrec.train("MF-BPR", older, {**SMALL, "learning_rate": 0.01}, TWO, init=run)
    assert [str(each.message) for each in recwarn] == []


def test_weights_of_another_shape_are_named(older: Dataset) -> None:
    earlier = prismrec.train("NGCF", older, {**SMALL, "layers": 1}, TWO)
    with pytest.warns(UserWarning, match=r"not taken: layers\.1\.of_sum\.weight \(absent\)"):
        prismrec.train("NGCF", older, {**SMALL, "layers": 2}, TWO, init=earlier)
    earlier = prismrec.train("HCCF", older, {**SMALL, "hyperedges": 90}, TWO)  # as many as users
    with pytest.warns(UserWarning, match=r"not taken: user_factor \(\[16, 90\], here \[16, 32\]\), item_factor"):
        prismrec.train("HCCF", older, {**SMALL, "hyperedges": 32}, TWO, init=earlier)


def test_what_cannot_be_started_from_is_refused_before_anything_is_written(
    run: Run, older: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    wide = {**SMALL, "embedding_size": 8}
    with pytest.raises(InputError, match=r"init: found .*weight 'user_table': rows \[16\]; expected rows \[8\]"):
        prismrec.train("MF-BPR", older, wide, TWO, out=out, init=run)
    with pytest.raises(InputError, match=r"init: found .*older, a run of MF-BPR; expected a run of LightGCN"):
        prismrec.train("LightGCN", older, SMALL, TWO, out=out, init=run)
    with pytest.raises(InputError, match="no run; expected a run directory"):
        prismrec.train("MF-BPR", older, SMALL, TWO, out=out, init=tmp_path / "none")
    strangers = replace(
        older,
        users=Vocabulary("u" + older.users.ids, "user"),
        items=Vocabulary("i" + older.items.ids, "item"),
        catalog=None,
    )
    with pytest.raises(InputError, match="shares no user, item or weight"):
        prismrec.train("MF-BPR", strangers, SMALL, TWO, out=out, init=run)
    assert not out.exists()


def test_modalities_in_another_order_are_refused(older: Dataset) -> None:
    earlier = prismrec.train("LGMRec", older, SMALL, TWO)
    names = list(older.features)[::-1]
    turned = replace(
        older,
        features={name: older.features[name] for name in names},
        present={name: older.present[name] for name in names},
    )
    with pytest.raises(InputError, match="the modalities image, text; expected text, image, in this order"):
        prismrec.train("LGMRec", turned, SMALL, TWO, init=earlier)


def test_damaged_and_infinite_weights_are_refused(run: Run, older: Dataset, tmp_path: Path) -> None:
    assert run.folder is not None
    damaged = tmp_path / "damaged"
    shutil.copytree(run.folder, damaged)
    content = bytearray((damaged / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (damaged / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors: found other contents"):
        prismrec.train("MF-BPR", older, SMALL, TWO, init=damaged)
    earlier = prismrec.train("MF-BPR", older, SMALL, TWO)
    assert earlier.weights is not None
    earlier.weights["item_table"][3] = torch.nan
    with pytest.raises(InputError, match="whose weight 'item_table' is not finite"):
        prismrec.train("MF-BPR", older, SMALL, TWO, init=earlier)


class StopAt(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch(self, epoch: EpochEnd) -> None:
        if epoch.record.epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("epoch", [1, 2])
def test_an_interrupted_training_continues_with_or_without_the_run_that_it_started_from(
    run: Run, older: Dataset, tmp_path: Path, given: bool, epoch: int
) -> None:
    whole = prismrec.train("MF-BPR", older, SMALL, Settings(epochs=4), init=run)
    with pytest.raises(KeyboardInterrupt):
        prismrec.train("MF-BPR", older, SMALL, Settings(epochs=4), out=tmp_path, init=run, callbacks=[StopAt(epoch)])
    assert (tmp_path / "checkpoint/state.safetensors").exists() == (epoch == 2)
    init = run if given else None
    resumed = prismrec.train("MF-BPR", older, SMALL, Settings(epochs=4), out=tmp_path, resume=True, init=init)
    assert torch.equal(resumed.embeddings.users, whole.embeddings.users)
    assert resumed.manifest.init == whole.manifest.init
    longer = prismrec.train("MF-BPR", older, SMALL, Settings(epochs=6), out=tmp_path, resume=True)
    assert torch.equal(
        longer.embeddings.users,
        prismrec.train("MF-BPR", older, SMALL, Settings(epochs=6), init=run).embeddings.users,
    )


def test_a_training_is_not_resumed_from_another_run(run: Run, older: Dataset, tmp_path: Path) -> None:
    other = prismrec.train("MF-BPR", older, SMALL, Settings(epochs=2, seed=1), out=tmp_path / "other")
    prismrec.train("MF-BPR", older, SMALL, TWO, out=tmp_path / "run", init=run)
    with pytest.raises(InputError, match=r"init = the weights of .*older.*; expected the weights of .*other"):
        prismrec.train("MF-BPR", older, SMALL, TWO, out=tmp_path / "run", init=other, resume=True)
    with pytest.raises(InputError, match=r"init = None; expected the weights of .*older"):
        prismrec.train(
            "MF-BPR", older, SMALL, Settings(epochs=2, seed=1), out=tmp_path / "other", init=run, resume=True
        )


def test_a_run_can_be_replaced_by_one_that_starts_from_it(run: Run, older: Dataset, tmp_path: Path) -> None:
    shutil.copytree(run.folder or "", tmp_path / "run")
    prismrec.train("MF-BPR", older, still(SMALL), TWO, out=tmp_path / "run", overwrite=True, init=tmp_path / "run")
    users, items = older.users.ids.to_list(), older.items.ids.to_list()
    torch.testing.assert_close(scores(Run.load(tmp_path / "run"), users, items), scores(run, users, items))


def test_refit_starts_from_the_same_weights(run: Run, older: Dataset, tmp_path: Path) -> None:
    second = prismrec.train("MF-BPR", older, still(SMALL), TWO, out=tmp_path / "second", init=run)
    production = refit(second, older, tmp_path / "production")
    users, items = older.users.ids.to_list(), older.items.ids.to_list()
    torch.testing.assert_close(scores(production, users, items), scores(run, users, items))
    from_memory = prismrec.train("MF-BPR", older, SMALL, TWO, init=replace(run, folder=None, weights=weights_of(run)))
    with pytest.raises(InputError, match="init: found none, for a training that started from a run in memory"):
        refit(from_memory, older, tmp_path / "x")
    assert refit(from_memory, older, tmp_path / "x", init=run).manifest.init.digest == second.manifest.init.digest
    with pytest.raises(InputError, match="with other weights; expected the weights that the training started from"):
        refit(from_memory, older, tmp_path / "y", init=second)
    with pytest.raises(InputError, match="init: found a run; expected none"):
        refit(run, older, tmp_path / "y", init=second)


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    assert run.folder is not None
    return read_weights(run.folder)


def test_the_command_line_takes_a_run_and_records_it(run: Run, older: Dataset, tmp_path: Path) -> None:
    write_table(older, tmp_path / "shop")

    def train(*words: object) -> str:
        command = ["train", *map(str, words), "--set", "embedding_size=16", "--epochs", "2"]
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    first = train("MF-BPR", tmp_path / "shop", "--init", run.folder, "--out", tmp_path / "first")
    assert f"started from the weights of {run.folder}: 90 users taken, 0 new, 0 unused; 90 items taken" in first
    config = tmp_path / "first/config.json"
    assert "90 users taken" in train("--config", config, "--out", tmp_path / "again")
    assert same(tmp_path / "first", tmp_path / "again")
    (tmp_path / "run.yaml").write_text(f"model: MF-BPR\nsource: {tmp_path}/shop\ninit: {run.folder}\n")
    train("--config", tmp_path / "run.yaml", "--out", tmp_path / "yaml")
    assert same(tmp_path / "first", tmp_path / "yaml")
    output = train("--config", config, "--json", "--out", tmp_path / "json")
    assert json.loads(output.splitlines()[-1])["init"]["users"] == {"taken": 90, "new": 0, "unused": 0}


def same(first: Path, second: Path) -> bool:
    return torch.equal(Run.load(first).embeddings.users, Run.load(second).embeddings.users)


def test_a_config_file_whose_run_has_other_weights_now_is_refused(run: Run, older: Dataset, tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(run.folder or "", start)
    prismrec.train("MF-BPR", older, SMALL, TWO, out=tmp_path / "run", init=start)
    prismrec.train("MF-BPR", older, SMALL, Settings(epochs=2, seed=1), out=start, overwrite=True)
    file = read_run_file(tmp_path / "run/config.json")
    with pytest.raises(InputError, match=r"init: found .*start with other weights"):
        find_initial_run(None, file, "MF-BPR")
