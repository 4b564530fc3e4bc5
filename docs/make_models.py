"""Write docs/models.md and one page per model from the docstrings of the models: `python docs/make_models.py`."""

from pathlib import Path
from typing import Any

from prismrec.cli.models import describe
from prismrec.models import REGISTRY, ModelConfig

DOCS = Path(__file__).parent
HEAD = """# Models

If you do not know which model to choose, take [Prism](prism.md), the default of `prismrec train`.
[results.md](results.md) compares the models on real data.

Each name links to the page of the model, which lists its hyperparameters. `prismrec models` prints this list, and
`prismrec models NAME` prints one page. `python docs/make_models.py` generates these pages from the docstrings.

"Modalities" is the number of feature matrices that a model takes. "Not used" means that the model uses interactions
only. In the cost on a page, U, I and E are the numbers of users, items and training interactions, B is the batch size,
d the embedding size, M the number of modalities, F_m the feature size of modality m, and L the number of layers.

| model | paper | modalities | idea |
|---|---|---|---|
"""
PAGE = """# {name}

{idea}

- Paper: {paper}
- Modalities: {modalities}
- Cost of the forward pass of one step, in multiply-adds ([letters](../models.md)): {cost}

To train it on the data set in the folder SOURCE:

    prismrec train {name} SOURCE --out RUN

{hyperparameters}"""
TABLE = """Set a hyperparameter with `--set name=value`. `prismrec tune` tries the grid ([tuning.md](../tuning.md)).

| hyperparameter | default | limits | grid | meaning |
|---|---|---|---|---|
{rows}

The model also has the other hyperparameters that [all models share](../training.md#hyperparameters).
"""
NONE = "The model has no hyperparameters of its own.\n"


def pages() -> dict[Path, str]:
    """The text of every page by its path."""
    described = {name: describe(model) for name, model in REGISTRY.items()}
    made = {DOCS / "models" / f"{name}.md": page(facts) for name, facts in described.items()}
    return {DOCS / "models.md": index(described), **made}


def index(described: dict[str, dict[str, Any]]) -> str:
    rows = [
        f"| [{name}](models/{name}.md) | {facts['paper']} | {facts['modalities']} | {first_paragraph(facts['idea'])} |"
        for name, facts in described.items()
    ]
    return HEAD + "\n".join(rows) + "\n"


def page(facts: dict[str, Any]) -> str:
    own = {name: field for name, field in facts["hyperparameters"].items() if is_own(name, field)}
    rows = [
        f"| `{name}` | {field['default']} | {cell(field['limits'])} | {grid(field)} | {cell(field['meaning'])} |"
        for name, field in own.items()
    ]
    hyperparameters = TABLE.format(rows="\n".join(rows)) if rows else NONE
    return PAGE.format(**{**facts, "hyperparameters": hyperparameters})


def is_own(name: str, field: dict[str, Any]) -> bool:
    """Whether a hyperparameter belongs to this model alone, or has a default or a grid of its own."""
    shared = ModelConfig.model_fields.get(name)
    return shared is None or shared.default != field["default"] or bool(field["grid"])


def grid(field: dict[str, Any]) -> str:
    """The values that `prismrec tune` tries."""
    return ", ".join(str(value) for value in field["grid"])


def cell(text: str) -> str:
    """Text for one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def first_paragraph(text: str) -> str:
    return cell(text.split("\n\n", maxsplit=1)[0])


def main() -> None:
    """Write all pages; remove pages of models that no longer exist."""
    made = pages()
    for old in (DOCS / "models").glob("*.md"):
        if old not in made:
            old.unlink()
    for path, text in made.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
