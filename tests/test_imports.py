"""What is imported, and when: PyTorch takes a second or more to load."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, time
start = time.perf_counter()
{action}
seconds = time.perf_counter() - start
heavy = {{"torch", "scipy", "polars"}} & sys.modules.keys()
print(f"{{seconds:.2f}} s", file=sys.stderr)
sys.exit(f"imported {{sorted(heavy)}}" if heavy else 0)
"""
HELP = """
sys.argv = ["prismrec", {words}]
from prismrec.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
"""


@pytest.mark.parametrize(
    "action",
    [
        "import prismrec; prismrec.__version__; dir(prismrec)",
        HELP.format(words='"--help"'),
        HELP.format(words='"train", "--help"'),
        HELP.format(words='"data", "--help"'),
    ],
    ids=["import", "help", "help of train", "help of data"],
)
def test_the_package_and_its_help_do_not_load_pytorch(action: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(action=action)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stderr)  # noqa: T201  # the time, shown by `pytest -s`


def test_all_names_of_the_package_can_be_imported() -> None:
    program = """
import prismrec
for name in prismrec.__all__:
    assert getattr(prismrec, name) is getattr(prismrec, name)
    assert name in dir(prismrec)
from prismrec import *
try:
    prismrec.nothing
except AttributeError as error:
    assert "nothing" in str(error)
else:
    raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
