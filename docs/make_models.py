"""Writes docs/models.md and a page per model from the models' own docstrings: `python docs/make_models.py`."""

from pathlib import Path
from typing import Any

from prismrec.cli.models import describe
from prismrec.models import REGISTRY, ModelConfig

DOCS = Path(__file__).parent


def pages() -> dict[Path, str]:
    """Every page by its path."""
    facts = {name: describe(name, model) for name, model in REGISTRY.items()}
    made = {DOCS / "models" / f"{name}.md": page(each) for name, each in facts.items()}
    return {DOCS / "models.md": index(facts), **made}


def index(facts: dict[str, dict[str, Any]]) -> str:
    rows = [
        f"| [{name}](models/{name}.md) | {each['paper']} | {each['modalities']} | {sentence(each['idea'])} |"
        for name, each in facts.items()
    ]
    head = ["# Models", "", "`prismrec models NAME` prints the same. Written by `python docs/make_models.py`.", ""]
    return "\n".join([*head, "| model | paper | modalities | idea |", "|---|---|---|---|", *rows, ""])


def page(facts: dict[str, Any]) -> str:
    own = {k: v for k, v in facts["hyperparameters"].items() if differs(k, v)}
    rows = [
        f"| `{name}` | {field['default']} | {cell(field['limits'])} | {cell(field['meaning'])} |"
        for name, field in own.items()
    ]
    return "\n".join(
        [
            f"# {facts['name']}",
            "",
            facts["idea"],
            "",
            f"- Paper: {facts['paper']}",
            f"- Modalities: {facts['modalities']}",
            f"- Cost of a step (multiply-adds, forward): {facts['cost']}",
            "",
            f"    prismrec train {facts['name']} SOURCE --out RUN",
            "",
            "| hyperparameter | default | limits | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
            "The others are those that [all models share](../training.md), at their defaults.",
            "",
        ]
    )


def differs(name: str, field: dict[str, Any]) -> bool:
    """Whether a hyperparameter is the model's own, or shared with a default of its own."""
    shared = ModelConfig.model_fields.get(name)
    return shared is None or shared.default != field["default"]


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def sentence(text: str) -> str:
    return cell(text.split("\n\n", maxsplit=1)[0])


def main() -> None:
    (DOCS / "models").mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
