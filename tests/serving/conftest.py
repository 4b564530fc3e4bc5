"""A saved run of a small shop with texts, prices, pictures and two modalities."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from fastapi.testclient import TestClient

from prismrec.records import EpochRecord, Settings
from prismrec.runs import Manifest, Run
from prismrec.runs.newcomers import choose_newcomers
from prismrec.serving import Limits, ServerSettings, create_app
from prismrec.types import Embeddings, Interactions, Vocabulary

if TYPE_CHECKING:
    from playwright.sync_api import Browser

USERS, ITEMS, WIDTH = 60, 40, 8
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63f8cfc0f01f0005050201805f3c1c0000000049454e44ae426082"
)
"""A picture of one pixel."""


def save_run(folder: Path, seed: int = 0, prefix: str = "i", count: int = ITEMS) -> Path:
    """Random embeddings, saved with everything that training saves but the weights."""
    rng = np.random.default_rng(seed)
    items = rng.permuted(np.tile(np.arange(count), (USERS, 1)), axis=1)  # [U, I]
    users = np.arange(USERS)
    trained = users[:-1]  # the last user has no training interaction
    train = Interactions.from_pairs(np.repeat(trained, 4), items[:-1, :4].ravel(), USERS, count)
    valid = Interactions.from_pairs(users, items[:, 4], USERS, count)
    embeddings = Embeddings(
        torch.from_numpy(rng.standard_normal((USERS, WIDTH), dtype=np.float32)),
        torch.from_numpy(rng.standard_normal((count, WIDTH), dtype=np.float32)),
    )
    features = {name: torch.from_numpy(rng.standard_normal((count, 5), dtype=np.float32)) for name in ("image", "text")}
    rows = {name: F.normalize(matrix, dim=1).half() for name, matrix in features.items()}
    rows["image"][0] = 0  # the first item lacks it
    catalog = {
        "title": [f"<b>Lampe № {number}</b> Été" if number % 2 else f"Chair {number}" for number in range(count)],
        "price": [float(number) for number in range(count)],
        "brand": [f"brand {number % 3}" for number in range(count)],
        "image": [f"images/{number}.png" for number in range(count)],
    }
    epochs = [EpochRecord(epoch=n, loss={"bpr": 1 / n}, seconds=1.0, valid={"recall@20": n / 9}) for n in (1, 2)]
    manifest = Manifest(
        model="LightGCN",
        config={"layers": 2, "regulariser": 1e-4, "rank": None},
        settings=Settings(),
        data="shop",
        fingerprint="",
        notes=(),
        modalities={"image": 5, "text": 5},
        versions={"prismrec": "0"},
    )
    run = Run(
        folder=None,
        manifest=manifest,
        embeddings=embeddings,
        users=Vocabulary([f"u{number:02d}" for number in users], "user"),
        items=Vocabulary([f"{prefix}{number:02d}" for number in range(count)], "item"),
        train=train,
        valid=valid,
        test=Interactions.from_pairs([], [], USERS, count),
        catalog=pl.DataFrame(catalog),
        history=tuple(epochs),
        best_epoch=2,
        chosen={"rank": 64},
        weights={"weight": torch.zeros(1)},
        stored_newcomers=choose_newcomers(embeddings, train, valid, features),
        features=rows,
    )
    run.save(folder)
    return folder


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the data set; a secret lies beside it."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "secret.png").write_bytes(PNG)
    shop = folder / "shop"
    (shop / "images").mkdir(parents=True)
    for number in range(ITEMS):
        (shop / f"images/{number}.png").write_bytes(PNG)
    return shop


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="session")
def settings(run_folder: Path, shop: Path) -> ServerSettings:
    return ServerSettings(run_folder, data=shop, limits=Limits(body=20_000, k=100, batch=50, entries=1000))


@pytest.fixture(scope="session")
def run(run_folder: Path) -> Run:
    return Run.load(run_folder)


@pytest.fixture
def client(settings: ServerSettings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    from serving.pages import CHROMIUM

    with sync_playwright() as drivers:
        browser = drivers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
