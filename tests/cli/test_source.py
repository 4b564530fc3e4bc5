from dataclasses import fields

import pytest
import typer.main

from prismrec.cli import app
from prismrec.cli.source import DataOptions

GROUP = typer.main.get_command(app)
COMMANDS = [
    GROUP.commands["train"],
    *[GROUP.commands["data"].commands[name] for name in ("describe", "split", "convert")],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_that_reads_data_has_every_data_option(command):
    options = {parameter.name: parameter for parameter in command.params}
    for field in fields(DataOptions):
        assert options[field.name].default == field.default
        assert options[field.name].rich_help_panel == "Data options"
    assert "options" not in options


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_plain_seed_splits_data_where_it_has_no_other_meaning(command):
    seed = next(parameter for parameter in command.params if "--seed" in parameter.opts)
    assert seed.name == ("seed" if command.name == "train" else "split_seed")
