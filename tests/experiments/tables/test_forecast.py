"""What a table will take, counted and measured before it starts."""

import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.tables.examples import run, table
from prismrec.experiments.tables import forecast as module
from prismrec.experiments.tables.choose import chooser
from prismrec.experiments.tables.forecast import Forecast, forecast
from prismrec.experiments.tables.plan import Chosen, Options, make_entry
from prismrec.experiments.tables.schema import Table
from prismrec.experiments.tables.sources import Source
from prismrec.runs.lock import locked

SPACES = {"MF-BPR": {"embedding_size": [2, 16]}}


def look(table: Table, source: Source, out: Path, trials: int = 0, **options: Any) -> Forecast:
    narrowed = Options(**{"seeds": 2, "epochs": 2, "device": "cpu", **options})
    choose = chooser(table, out, trials, narrowed, searches="preview")
    return forecast(table, [source], out, narrowed, choose)


def test_an_untouched_table_is_measured_and_nothing_is_written(source: Source, tmp_path: Path) -> None:
    found = look(table(), source, tmp_path / "out")
    assert [(load.model, load.finished, load.left) for load in found.loads] == [
        ("most-popular", 0, 2),
        ("MF-BPR", 0, 2),
        ("VBPR", 0, 2),
    ]
    assert found.epochs == (2, 2)
    assert found.seconds is not None
    assert 0 < found.seconds[0] == found.seconds[1] < 60
    assert found.peak_bytes is not None
    assert found.most_processes is not None
    assert not (tmp_path / "out").exists()


def test_the_time_grows_with_the_trainings_and_with_the_epochs(source: Source, tmp_path: Path) -> None:
    one = look(table(), source, tmp_path, epochs=None, models=("VBPR",), seeds=1)
    assert one.epochs == (51, 1000)
    assert one.seconds is not None
    assert 15 < one.seconds[1] / one.seconds[0] < 20
    load = one.loads[0]
    ten = Forecast("t", (load, module.replace(load, left=9)), one.epochs, None)
    assert ten.seconds == pytest.approx((10 * one.seconds[0], 10 * one.seconds[1]))


def test_models_with_finished_trainings_are_not_measured(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = run(table(), source, tmp_path, seeds=1)
    monkeypatch.setattr(module, "measure_cost", lambda *_: pytest.fail("measured"))
    found = look(table(), source, tmp_path)
    assert [(load.finished, load.left) for load in found.loads] == [(1, 1)] * 3
    assert found.seconds is not None
    assert found.seconds[0] == pytest.approx(sum(row.cells[0].seconds for row in outcome.rows))


def test_trainings_of_other_processes_are_counted_apart(source: Source, tmp_path: Path) -> None:
    options = Options(seeds=2, epochs=2, device="cpu")
    cell = make_entry(table(), table().rows[1], source, options, lambda model, source: Chosen({}, "")).cells[0]
    with locked(tmp_path / "cells" / f"{cell.key}.unfinished"):
        found = look(table(), source, tmp_path)
    assert [(load.elsewhere, load.left) for load in found.loads] == [(0, 2), (1, 1), (0, 2)]
    assert [(load.elsewhere, load.left) for load in look(table(), source, tmp_path).loads] == [(0, 2)] * 3


def test_trials_count_until_the_search_is_finished(source: Source, tmp_path: Path) -> None:
    searched = table(spaces=SPACES, rows=[{"label": "MF", "model": "MF-BPR"}], reference=None, claims=[])
    options = Options(seeds=1, epochs=2, device="cpu")
    before = look(searched, source, tmp_path, 4, seeds=1)
    assert [(load.trials, load.left) for load in before.loads] == [(2, 1)]
    assert not list(tmp_path.iterdir())
    chosen = chooser(searched, tmp_path, 4, options)("MF-BPR", source)
    assert chooser(searched, tmp_path, 4, options, searches="preview")("MF-BPR", source) == chosen
    after = look(searched, source, tmp_path, 4, seeds=1)
    assert [(load.trials, load.left) for load in after.loads] == [(0, 1)]
    assert after.seconds is not None
    assert before.seconds is not None


def test_a_row_that_will_fail_is_named_before(source: Source, tmp_path: Path) -> None:
    rows = [
        {"label": "diverges", "model": "MF-BPR", "config": {"learning_rate": 1e30}},
        {"label": "LightGCN", "model": "LightGCN"},
    ]
    found = look(table(rows=rows, reference=None, claims=[]), source, tmp_path, seeds=1)
    assert [len(load.errors) for load in found.loads] == [1, 0]
    assert found.loads[0].errors[0].startswith("diverges, seed 0: ")
    assert found.seconds is not None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell the available memory")
def test_a_row_that_does_not_fit_in_the_memory_is_named_before(source: Source, tmp_path: Path) -> None:
    import resource

    rows = [
        {"label": "small", "model": "VBPR"},
        {"label": "large", "model": "VBPR", "config": {"embedding_size": 2**16}},
    ]
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    used = next(int(line.split()[1]) for line in status if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (used * 1024 + 2**26, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    (load,) = look(table(rows=rows, reference=None, claims=[]), source, tmp_path, seeds=1).loads
    assert [error.partition(": found")[0] for error in load.errors] == ["large, seed 0: VBPR"]
    assert "GiB" in load.errors[0]
    assert load.seconds is not None
