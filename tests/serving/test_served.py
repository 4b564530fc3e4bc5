"""A served run: its name, and what it answers after its folder has changed."""

import shutil
from pathlib import Path

from fastapi.testclient import TestClient

from prismrec.serving import ServerSettings, create_app
from prismrec.serving.served import load_served
from serving.conftest import save_run


def test_the_name_has_the_hash_of_the_embeddings_that_answer(tmp_path: Path) -> None:
    new = save_run(tmp_path / "new", seed=2)
    live = save_run(tmp_path / "live", seed=1)
    old_name = load_served(live, ServerSettings(live)).name
    shutil.copytree(new, live / ".next")  # as a process leaves it that is killed at the last moment
    name = load_served(live, ServerSettings(live)).name
    assert name != old_name
    assert name.partition("@")[2] == load_served(new, ServerSettings(new)).name.partition("@")[2]


def test_a_run_whose_folder_is_gone_still_answers(tmp_path: Path) -> None:
    live = save_run(tmp_path / "live")
    with TestClient(create_app(ServerSettings(live)), base_url="http://localhost") as client:
        shutil.rmtree(live)
        assert client.get("/api/run").json()["metrics"]
        assert client.post("/api/recommend", json={"users": ["u01"]}).status_code == 200
