"""What all commands share: the version, colours, and completion in a shell."""

import os
import re
import subprocess
import sys

import pytest

import prismrec
from prismrec.cli.options import complete_model
from prismrec.models import REGISTRY

COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-7]|9[0-7]|38)[0-9;]*m")


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    command = [sys.executable, "-m", "prismrec", *words]
    return subprocess.run(
        command, env={**plain, "TERM": "xterm-256color", **environment}, capture_output=True, text=True, check=False
    )


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version").stdout == f"prismrec {prismrec.__version__}\n"


@pytest.mark.parametrize("words", [("--help",), ("models", "LightGCN")])
def test_no_color_turns_colours_off(words: tuple[str, ...]) -> None:
    if words == ("--help",):  # the table of one model has no colours
        assert COLOUR.search(run(*words, FORCE_COLOR="1").stdout)
    done = run(*words, FORCE_COLOR="1", NO_COLOR="1")
    assert done.returncode == 0
    assert not COLOUR.search(done.stdout)


def test_completion_knows_all_models() -> None:
    assert sorted(complete_model("")) == sorted(REGISTRY)
    assert complete_model("lg") == ["LGMRec"]


@pytest.mark.parametrize("words", ["prismrec train LG", "prismrec models LG"])
def test_a_shell_completes_the_name_of_a_model(words: str) -> None:
    environment = {**os.environ, "_PRISMREC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "2"}
    program = "import sys; sys.argv = ['prismrec']; from prismrec.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["LGMRec"]


def test_completion_does_not_load_pytorch() -> None:
    code = "from prismrec.cli.options import complete_model as c; c(''); import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_before_the_command_begins_shows_no_traceback(number: str) -> None:
    program = f"""
import os, signal, sys
import prismrec.cli
sys.argv = ["prismrec", "models"]
prismrec.cli.app.__class__ = type("Slow", (), {{"__call__": lambda self: os.kill(os.getpid(), signal.{number})}})
prismrec.cli.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("words", [("check", "{long}"), ("train", "most-popular", ".", "--out", "{long}")])
def test_a_name_that_is_too_long_ends_in_one_line(words: tuple[str, ...]) -> None:
    done = run(*[word.replace("{long}", "n" * 5000) for word in words])
    assert done.returncode == 2
    assert re.fullmatch("prismrec: nnn.*: found .*; expected .*\n", done.stderr)
