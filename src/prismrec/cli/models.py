"""`prismrec models`: what models there are, and everything about one."""

import inspect
import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from prismrec.models import REGISTRY, Recommender, canonical_name


def models(
    model: Annotated[str | None, typer.Argument(help="A model to tell all about.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """List the models, or describe one: its idea, paper, hyperparameters, cost and modalities."""
    names = [canonical_name(model)] if model else list(REGISTRY)
    described = {name: describe(name, REGISTRY[name]) for name in names}
    if as_json:
        typer.echo(json.dumps(described[names[0]] if model else described, ensure_ascii=False))
    elif model:
        _show_one(described[names[0]])
    else:
        table = Table("model", "modalities", "paper", "idea")
        for name, facts in described.items():
            table.add_row(name, facts["modalities"], facts["paper"], facts["idea"].split("\n")[0])
        Console().print(table)


def describe(name: str, model: type[Recommender]) -> dict[str, Any]:
    """All that a model's class says of itself."""
    schema = model.Config.model_json_schema()["properties"]
    least = model.min_modalities
    return {
        "name": name,
        "paper": model.paper,
        "idea": inspect.getdoc(model) or "",
        "modalities": "not used" if not model.takes_features else f"any number from {least}",
        "cost": model.cost,
        "hyperparameters": {
            field: {
                "default": model.Config.model_fields[field].default,
                "limits": _limits(facts),
                "meaning": facts.get("description", ""),
            }
            for field, facts in schema.items()
        },
    }


def _limits(facts: dict[str, Any]) -> str:
    words = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    if "enum" in facts:
        return " | ".join(str(value) for value in facts["enum"])
    if "anyOf" in facts:
        return " or ".join(_limits(option) for option in facts["anyOf"])
    bounds = [f"{sign} {facts[key]:g}" for key, sign in words.items() if key in facts]
    kinds = {"integer": "whole number", "boolean": "true | false", "null": "none", "object": "mapping"}
    return " ".join([kinds.get(facts.get("type", ""), facts.get("type", "")), ", ".join(bounds)]).strip()


def _show_one(facts: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{facts['name']}[/bold] ({facts['paper']})")
    console.print(facts["idea"], markup=False)
    console.print(f"modalities: {facts['modalities']}", markup=False)
    console.print(f"cost of a step: {facts['cost']}", markup=False)
    table = Table("hyperparameter", "default", "limits", "meaning")
    for name, field in facts["hyperparameters"].items():
        table.add_row(name, str(field["default"]), field["limits"], field["meaning"].replace("[", r"\["))
    console.print(table)
