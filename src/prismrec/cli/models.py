"""`prismrec models`: list the models, or describe one."""

import inspect
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec.cli.options import AsJson, complete_model

if TYPE_CHECKING:
    from prismrec.models import Recommender


Model = Annotated[
    str | None, typer.Argument(help="A model to describe.", show_default=False, autocompletion=complete_model)
]


def models(
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """List the models, or describe one: its idea, paper, hyperparameters, cost and modalities."""
    from prismrec.models import REGISTRY, find_model

    if model is not None:
        facts = describe(find_model(model))
        if as_json:
            typer.echo(json.dumps(facts, ensure_ascii=False))
        else:
            _show_one(facts)
        return
    described = {name: describe(each) for name, each in REGISTRY.items()}
    if as_json:
        typer.echo(json.dumps(described, ensure_ascii=False))
    else:
        _show_all(described)


def describe(model: "type[Recommender]") -> dict[str, Any]:
    """Everything that the class of a model says about it."""
    from prismrec.experiments.space import grid_of

    schema = model.Config.model_json_schema()["properties"]
    grids = grid_of(model.Config)
    return {
        "name": model.name,
        "paper": model.paper,
        "idea": (inspect.getdoc(model) or "").split("\n\n")[0],
        "modalities": f"any number from {model.min_modalities}" if model.takes_features else "not used",
        "cost": model.cost,
        "hyperparameters": {
            field: {
                "default": model.Config.model_fields[field].default,
                "limits": _limits(facts),
                "grid": list(grids.get(field, ())),
                "meaning": " ".join(facts.get("description", "").split()),
            }
            for field, facts in schema.items()
        },
    }


def _limits(facts: dict[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    if "enum" in facts:
        return " | ".join(str(value) for value in facts["enum"])
    if "anyOf" in facts:
        return " or ".join(_limits(option) for option in facts["anyOf"])
    bounds = [f"{sign} {facts[key]:.10g}" for key, sign in signs.items() if key in facts]
    kinds = {"boolean": "true | false", "null": "none", "object": "mapping"}
    kind = facts.get("type", "")
    return " ".join([kinds.get(kind, kind), ", ".join(bounds)]).strip()


def _show_all(described: dict[str, dict[str, Any]]) -> None:
    from rich.table import Table

    from prismrec.cli.tables import name_column, print_table

    table = Table(name_column("model", described), "modalities", "paper", "idea")
    for name, facts in described.items():
        table.add_row(name, facts["modalities"], facts["paper"], facts["idea"])
    print_table(table)


def _show_one(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from prismrec.cli.tables import literal, name_column, print_table

    console = Console(highlight=False)
    console.print(f"[bold]{facts['name']}[/bold] ({facts['paper']})")
    for line in (facts["idea"], f"modalities: {facts['modalities']}", f"cost of a step: {facts['cost']}"):
        console.print(line, markup=False, soft_wrap=not console.is_terminal)
    names = name_column("hyperparameter", facts["hyperparameters"])
    table = Table(names, "default", "limits", "grid", "meaning")
    for name, field in facts["hyperparameters"].items():
        grid = ", ".join(map(str, field["grid"]))
        cells = [str(field["default"]), field["limits"], grid, field["meaning"]]
        table.add_row(name, *[literal(cell) for cell in cells])
    print_table(table)
