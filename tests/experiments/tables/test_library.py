from pathlib import Path

import pytest

from prismrec.data import Dataset
from prismrec.errors import InputError
from prismrec.experiments.tables.library import all_tables, known_settings, read_table, reported_tables, table_names
from prismrec.experiments.train import make_config
from prismrec.models import REGISTRY

NAMES = {
    *["lgmrec-table2", "lgmrec-table3", "lgmrec-fig1", "lgmrec-fig3", "lgmrec-fig5", "lgmrec-fig6"],
    *["lattice-table2", "lattice-table3", "lattice-fig3", "lattice-fig4"],
    *["ludp-table3", "ludp-table4", "ludp-table5", "ludp-fig3", "ludp-fig4", "ludp-fig5", "ludp-fig6"],
}
MINE = """
name: mine
title: My table
paper: {short: Mine, cite: me, data: {}}
place: Table 1
metrics: [recall@20]
rows:
  - {label: A, model: MF-BPR}
  - {label: B, model: VBPR, config: {embedding_size: 8}}
"""


def test_every_table_and_figure_of_the_three_papers_has_a_file_of_its_name() -> None:
    assert set(table_names()) >= NAMES
    assert [table.name for table in all_tables()] == table_names()


def test_the_full_model_has_the_same_values_in_all_tables_of_a_paper() -> None:
    """Slips of the pen: a paper repeats its main result in its ablations."""

    def values(name: str, label: str) -> dict[str, dict[str, float]]:
        table = read_table(name)
        row = next(row for row in table.all_rows if row.label == label)
        pairs = {data: dict(zip(table.metrics, each, strict=True)) for data, each in row.published.items()}
        return {
            data: {metric: each[metric] for metric in ("recall@20", "recall@10") if metric in each}
            for data, each in pairs.items()
        }

    main, ablation = values("lgmrec-table2", "LGMRec"), values("lgmrec-table3", "LGMRec")
    assert {data: each["recall@20"] for data, each in main.items()} == {
        data: each["recall@20"] for data, each in ablation.items()
    }
    without = values("lgmrec-table3", "w/o MM")
    assert {d: e["recall@20"] for d, e in without.items()} == {
        d: e["recall@20"] for d, e in values("lgmrec-table2", "LightGCN").items()
    }
    assert values("ludp-table3", "LUDP") == values("ludp-table4", "All")
    for label in ("MF", "NGCF", "LightGCN"):
        assert values("lattice-table2", label) == values("lattice-table3", label)


def test_known_settings_are_configs_and_belong_to_data_with_the_same_counts(shop: Dataset, real_data: Path) -> None:
    from prismrec.data import load

    assert known_settings(shop) is None
    known = known_settings(load(real_data / "tiktok"))
    assert known is not None
    assert set(known.settings) <= set(REGISTRY)
    for model, config in known.settings.items():
        make_config(model, config)


def test_a_table_of_ones_own_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE)
    assert [row.label for row in read_table(str(tmp_path / "mine.yaml")).rows] == ["A", "B"]


SWEEP = "{model: LightGCN, parameter: layers, title: Layers"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("MF-BPR", "nobody", "one of"),
        ("embedding_size: 8", "embedding_width: 8", "no such hyperparameter"),
        ("embedding_size: 8", "embedding_size: -8", "embedding_size"),
        ("recall@20", "recal@20", "recal@20"),
        ("label: B", "label: A", "twice"),
        ("place: Table 1", "plaice: Table 1", "plaice"),
        ("rows:", "reference: C\nrows:", "reference: found 'C', which is no row; expected one of A, B"),
        ("rows:", "claims: [{says: so, better: [C]}]\nrows:", "claim 1: found 'C', which is no row"),
        ("model: MF-BPR}", "model: MF-BPR, published: {baby: [0.1]}}", "row 'A', published: found no data set 'baby'"),
        ("paper: {short: Mine, cite: me, data: {}}", "paper: nothing", "one of lgmrec"),
        ("rows:\n", "rows: 3\nrows2:\n", "rows"),
        ("name: mine", "name: [", "mine.yaml"),
        ("rows:", "choose: recal@20\nrows:", "found 'recal@20'"),
        ("rows:", "patience: soon\nrows:", "patience: found 'soon'; expected"),
        ("rows:", "display: tabel\nrows:", "display: found 'tabel'; expected 'table', 'bars'"),
        ("[recall@20]", "[recall@20, opposed_users]", "metrics: found 'opposed_users' without a cut-off"),
        ("[recall@20]", "recall@20", "metrics: found 'recall@20'"),
        ("model: VBPR", "modell: VBPR", "row 2, modell: found no such key; expected one of label, model"),
        ("model: VBPR", "model: VBPRR", "row 2, model: found 'VBPRR'; expected one of Prism"),
        ("rows:", "spaces: {VBPRR: {regulariser: [0.1]}}\nrows:", "found 'VBPRR'"),
        ("rows:", "spaces: {LightGCN: {layers: [1]}}\nrows:", "spaces, LightGCN: found no row of this model"),
        ("rows:", "spaces: {VBPR: {regularizer: [0.1]}}\nrows:", "regularizer"),
        ("[recall@20]", "[]", "metrics: found none; expected one or more"),
        ("[recall@20]", "[recall@20, recall@20]", "metrics: found 'recall@20' twice"),
        ("name: mine", "name: My table", "name: found 'My table'; expected lower-case letters, digits and hyphens"),
        ("label: A", "label: ' A'", "row 1, label: found ' A'; expected a text in one line"),
        ("rows:", "claims: [{says: so, better: [A], worse: [A]}]\nrows:", "claim 1, better: found 'A' in worse too"),
        ("rows:", "claims: [{says: so, better: []}]\nrows:", "claim 1, better: found none; expected one or more"),
        ("rows:", "claims: [{says: so, better: [A], worse: B}]\nrows:", "expected a list or 'others'"),
        ("rows:", f"sweeps: [{SWEEP}, values: []}}]\nrows:", "sweep 1, values: found none; expected one or more"),
        ("rows:", f"sweeps: [{SWEEP}, values: [x]}}]\nrows:", "sweep 1, config.layers: found 'x'"),
    ],
)
def test_a_faulty_file_is_refused_with_its_name_and_the_place(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert old in MINE
    path.write_text(MINE.replace(old, new))
    with pytest.raises(InputError, match=r"mine\.yaml") as caught:
        read_table(str(path))
    assert message in str(caught.value)


def test_an_unknown_name_lists_all_names() -> None:
    with pytest.raises(InputError, match="lattice-table3"):
        read_table("lgmrec-table9")


def test_published_values_have_one_number_per_metric(tmp_path: Path) -> None:
    text = MINE.replace("{short: Mine, cite: me, data: {}}", "lgmrec")
    for values, message in (
        ("[0.1, 0.2]", "row 'A', published, baby: found 2 values; expected 1: one for each of recall@20"),
        ("[x]", "row 1, published, baby 1: found 'x'; expected a valid number"),
    ):
        (tmp_path / "mine.yaml").write_text(text.replace("MF-BPR}", f"MF-BPR, published: {{baby: {values}}}}}"))
        with pytest.raises(InputError, match="mine") as caught:
            read_table(str(tmp_path / "mine.yaml"))
        assert message in str(caught.value)


def test_models_may_be_spelled_as_on_the_command_line(tmp_path: Path) -> None:
    text = MINE.replace("MF-BPR", "mf_bpr").replace("rows:", "spaces: {mf-bpr: {regulariser: [0.1]}}\nrows:")
    (tmp_path / "mine.yaml").write_text(text)
    table = read_table(str(tmp_path / "mine.yaml"))
    assert table.rows[0].model == "MF-BPR"
    assert list(table.spaces) == ["MF-BPR"]


def test_tables_of_other_papers_are_read_but_not_listed() -> None:
    others = {table.name for table in reported_tables()} - set(table_names())
    assert others == {"da-mrs", "diffmm"}
