"""The README's words are true: its code runs, its files exist, its commands are commands."""

import re
import runpy
from pathlib import Path

import pytest

from prismrec.cli import app
from prismrec.data.demo import ShopConfig, write_shop

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_lines_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shop(tmp_path / "shop", ShopConfig(users=150, items=90, interactions=1500))
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    assert len([line for line in block.splitlines() if line.strip()]) <= 6
    block = block.replace('"u0001"', '"u001"').replace("epochs=30", "epochs=2")
    exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert re.match(r"0\.\d+\n", printed)
    assert "title" in printed


def test_the_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_commands_exist() -> None:
    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text(encoding="utf-8")
        code = "\n".join(
            re.findall(r"^```\n(.*?)^```", text, flags=re.S | re.M) + re.findall(r"`(prismrec [^`]*)`", text)
        )
        assert set(re.findall(r"^prismrec ([a-z]+)", code, flags=re.M)) <= known, page.name


def test_the_model_pages_are_what_the_models_say_of_themselves() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_models.py"))
    for path, text in script["pages"]().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: python docs/make_models.py"
