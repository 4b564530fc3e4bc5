from dataclasses import replace
from pathlib import Path

from experiments.tables.examples import table
from prismrec.data import Dataset, load
from prismrec.experiments.search import TuneProgress
from prismrec.experiments.space import grid_of
from prismrec.experiments.tables.choose import chooser
from prismrec.experiments.tables.plan import Options
from prismrec.experiments.tables.sources import Source, as_source
from prismrec.experiments.train import train
from prismrec.models import find_model
from prismrec.records import Settings

OPTIONS = Options(seeds=1, epochs=2, device="cpu")
SPACE = {"MF-BPR": {"embedding_size": [2, 16], "learning_rate": [0.1, 1e-9]}}


def test_settings_are_those_that_are_best_on_validation(source: Source, tmp_path: Path) -> None:
    searched = table(spaces=SPACE)
    chosen = chooser(searched, tmp_path, 4, OPTIONS)("MF-BPR", source)
    scores = {}
    for width in (2, 16):
        for rate in (0.1, 1e-9):
            config = {"embedding_size": width, "learning_rate": rate}
            settings = Settings(epochs=2, device="cpu")
            run = train("MF-BPR", source.dataset, config, settings)
            scores[width, rate] = run.history[run.best_epoch - 1].valid["recall@20"]
    best = max(scores, key=scores.__getitem__)
    assert (chosen.values["embedding_size"], chosen.values["learning_rate"]) == best
    assert "4 trials" in chosen.source


def test_the_choice_does_not_depend_on_the_test_split(source: Source, shop: Dataset, tmp_path: Path) -> None:
    searched = table(spaces=SPACE)
    other = as_source(replace(shop, test=shop.valid), searched)
    first = chooser(searched, tmp_path / "a", 4, OPTIONS)("MF-BPR", source)
    second = chooser(searched, tmp_path / "b", 4, OPTIONS)("MF-BPR", other)
    assert first.values == second.values


def test_a_model_that_chooses_by_itself_is_not_searched(source: Source, tmp_path: Path) -> None:
    chosen = chooser(table(), tmp_path, 4, OPTIONS)("Spectral", source)
    assert chosen.values == {}
    assert not (tmp_path / "tuning").exists()


def test_a_search_is_not_repeated(source: Source, tmp_path: Path) -> None:
    searched = table(spaces=SPACE)
    reports: list[tuple[str, int]] = []

    def report(model: str, progress: TuneProgress) -> None:
        reports.append((model, progress.done))

    first = chooser(searched, tmp_path, 4, OPTIONS, report)("MF-BPR", source)
    assert reports[-1] == ("MF-BPR on demo", 4)
    reports.clear()
    assert chooser(searched, tmp_path, 4, OPTIONS, report)("mf_bpr", source) == first
    assert {done for _, done in reports} <= {4}


def test_finished_searches_alone_are_taken_if_asked_for(source: Source, tmp_path: Path) -> None:
    searched = table(spaces=SPACE)
    assert chooser(searched, tmp_path, 4, OPTIONS, searches="finished")("MF-BPR", source).trials == 4
    assert list(tmp_path.iterdir()) == []
    first = chooser(searched, tmp_path, 4, OPTIONS)("MF-BPR", source)
    assert chooser(searched, tmp_path, 4, OPTIONS, searches="finished")("MF-BPR", source) == first


def test_without_trials_or_a_grid_the_defaults_are_taken(source: Source, tmp_path: Path) -> None:
    assert chooser(table(spaces=SPACE), tmp_path, 0, OPTIONS)("MF-BPR", source).source == "defaults"
    assert chooser(table(), tmp_path, 4, OPTIONS)("most-popular", source).source == "defaults"
    assert list(tmp_path.iterdir()) == []


def test_known_settings_need_no_search(real_data: Path, tmp_path: Path) -> None:
    known = as_source(load(real_data / "tiktok"), table())
    chosen = chooser(table(spaces=SPACE), tmp_path, 4, OPTIONS)("MF-BPR", known)
    assert chosen.values == {"regulariser": 0.1}
    assert list(tmp_path.iterdir()) == []


def test_a_table_without_a_space_searches_the_grid_of_the_model(source: Source, tmp_path: Path) -> None:
    grid = grid_of(find_model("LightGCN").Config)
    assert grid
    assert set(chooser(table(), tmp_path, 2, OPTIONS)("LightGCN", source).values) >= set(grid)


def test_what_a_smaller_search_found_is_reported_without_more_trials(source: Source, tmp_path: Path) -> None:
    """`--finished` trains nothing, whatever the number of trials is now."""
    searched = table(spaces=SPACE)
    chosen = chooser(searched, tmp_path, 2, OPTIONS)("MF-BPR", source)
    assert "2 trials" in chosen.source
    assert chooser(searched, tmp_path, 4, OPTIONS, searches="finished")("MF-BPR", source) == chosen
