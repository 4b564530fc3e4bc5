"""Pictures come from the folder of the data set, which the run names."""

from pathlib import Path

from fastapi.testclient import TestClient

import prismrec
from prismrec.demo import ShopConfig, write_shop
from prismrec.records import Settings
from prismrec.runs import Run
from prismrec.serving import ServerSettings, create_app


def shows_pictures(settings: ServerSettings) -> bool:
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        item = Run.load(settings.run).items.id(0)
        found = client.get("/api/picture", params={"id": item}).status_code == 200
        assert client.get("/api/run").json()["pictures"] is found
        assert client.get("/api/item", params={"id": item}).json()["picture"] is found
        return found


def test_a_run_shows_the_pictures_of_its_data_set_while_they_are_there(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop", ShopConfig(users=40, items=30, interactions=300))
    data = prismrec.load(tmp_path / "shop")
    folder = tmp_path / "run"
    prismrec.train("most-popular", data, settings=Settings(epochs=1), out=folder)
    assert Run.load(folder).manifest.folder == str(tmp_path / "shop")
    assert shows_pictures(ServerSettings(folder))
    assert not shows_pictures(ServerSettings(folder, host="0.0.0.0"))  # others could reach any folder that a run names
    (tmp_path / "shop").rename(tmp_path / "moved")
    assert not shows_pictures(ServerSettings(folder))
    assert shows_pictures(ServerSettings(folder, data=tmp_path / "moved"))


def test_the_folder_of_a_single_file_is_that_of_the_file(tmp_path: Path) -> None:
    rows = "\n".join(f"u{user},i{item}" for user in range(6) for item in range(6))
    (tmp_path / "clicks.csv").write_text(f"user_id,item_id\n{rows}\n")
    assert prismrec.load(tmp_path / "clicks.csv").folder == str(tmp_path)
