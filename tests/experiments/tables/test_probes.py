from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from prismrec.data import Dataset
from prismrec.errors import InputError
from prismrec.experiments.tables import cells
from prismrec.experiments.tables.cells import Cell
from prismrec.experiments.tables.probes import Gradients, module_alone
from prismrec.experiments.train import build_model, make_config
from prismrec.models.lgmrec import LGMRec
from prismrec.records import Settings
from prismrec.training import Callback, EpochEnd

SUID = {"shared_user_ids": True, "embedding_size": 8}


def model_of(shop: Dataset, **config: object) -> LGMRec:
    model = build_model("LGMRec", shop, make_config("LGMRec", config), Settings(device="cpu"))
    assert isinstance(model, LGMRec)
    return model.eval()


def cell(shop: Dataset, probe: str, model: str = "LGMRec", epochs: int = 4, **config: object) -> Cell:
    return Cell(model, make_config(model, config), Settings(epochs=epochs, device="cpu"), shop, probe)  # type: ignore[arg-type]


def test_the_modules_of_lgmrec_add_up_to_its_embeddings(shop: Dataset) -> None:
    model = model_of(shop)
    before = model.config
    whole = model.embed()
    parts = []
    for name in ("collaborative", "modal", "hypergraph"):
        with module_alone(model, name):
            parts.append(model.embed())
    assert model.config == before
    torch.testing.assert_close(sum(part.users for part in parts), whole.users)
    torch.testing.assert_close(sum(part.items for part in parts), whole.items)


def test_opposed_dimensions_are_those_of_the_gradients_of_the_two_modules(shop: Dataset, tmp_path: Path) -> None:
    """The plain way: the loss with the other module's embeddings as constants."""
    model = model_of(shop, hypergraph=False, **SUID)
    probe = Gradients(model, shop, tmp_path)
    assert probe.chosen.tolist() == np.flatnonzero(shop.train.user_degrees).tolist()
    generator = torch.Generator().manual_seed(0)
    negatives = torch.randint(shop.train.num_items, (len(shop.train),), generator=generator)
    rows, positives = torch.from_numpy(shop.train.users.astype(int)), torch.from_numpy(shop.train.items.astype(int))
    gradients = []
    for kept, constant in (("collaborative", "modal"), ("modal", "collaborative")):
        with module_alone(model, constant), torch.no_grad():
            fixed = model.embed()
        with module_alone(model, kept):
            own = model.embed()
        users, items = own.users + fixed.users, own.items + fixed.items
        margins = (users[rows] * (items[positives] - items[negatives])).sum(1)
        gradients.append(torch.autograd.grad(-logsigmoid(margins).mean(), [model.user_table])[0])
    expected = (gradients[0] * gradients[1] < 0).double().mean(1)[probe.chosen]
    torch.testing.assert_close(probe._opposed(), expected)
    assert 0 < float(expected.mean()) < 1


def test_gradients_are_followed_over_the_training_and_after_an_interruption(shop: Dataset, tmp_path: Path) -> None:
    class Stop(Callback):
        def on_epoch(self, epoch: EpochEnd) -> None:
            if epoch.record.epoch == 3:
                raise KeyboardInterrupt

    whole = cells.compute(cell(shop, "gradients", epochs=6, **SUID), tmp_path / "whole")
    assert [point["epoch"] for point in whole.picture] == [1, 2, 3, 4, 5]
    assert whole.measured["opposed_users"] == pytest.approx(np.mean([point["users"] for point in whole.picture]))
    with pytest.raises(KeyboardInterrupt):
        cells.compute(cell(shop, "gradients", epochs=6, **SUID), tmp_path / "parts", [Stop()])
    assert cells.compute(cell(shop, "gradients", epochs=6, **SUID), tmp_path / "parts").picture == whole.picture


def test_a_probe_does_not_change_the_training(shop: Dataset, tmp_path: Path) -> None:
    with_probe = cells.compute(cell(shop, "gradients", **SUID), tmp_path)
    without = cells.compute(cell(shop, None, **SUID), tmp_path)
    assert with_probe.test == without.test
    assert with_probe.curve == without.curve


def test_gradients_need_lgmrec_with_shared_users(shop: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shared_user_ids"):
        cells.compute(cell(shop, "gradients"), tmp_path)
    with pytest.raises(InputError, match="LGMRec"):
        cells.compute(cell(shop, "hyperedges", "VBPR"), tmp_path)


def test_memberships_are_shares(shop: Dataset) -> None:
    model = model_of(shop, hyperedges=3)
    users, items = model.memberships()
    assert users.shape == (len(shop.users), 2, 3)
    assert items.shape == (len(shop.items), 2, 3)
    torch.testing.assert_close(users.sum(2), torch.ones(len(shop.users), 2))
    assert (items >= 0).all()
    with pytest.raises(ValueError, match="modalities"):
        model_of(shop, modal=False, hypergraph=False).memberships()


def test_hyperedges_are_shown_of_two_users_without_common_items(shop: Dataset, tmp_path: Path) -> None:
    result = cells.compute(cell(shop, "hyperedges"), tmp_path)
    first, second = result.picture["users"]
    assert first["id"] != second["id"]
    assert not {item["id"] for item in first["items"]} & {item["id"] for item in second["items"]}
    number = shop.users.ids.to_list().index(first["id"])
    assert len(first["items"]) == shop.train.user_degrees[number]
    assert len(first["memberships"]) == 2
    assert all(sum(shares) == pytest.approx(1) for shares in first["memberships"])


def test_the_map_has_users_with_their_items(shop: Dataset, tmp_path: Path) -> None:
    result = cells.compute(cell(shop, "map", "LightGCN"), tmp_path)
    picture = result.picture
    assert len(picture["users"]) == 8
    assert len(picture["items"]) == len(picture["owners"]) > 8
    assert set(picture["owners"]) <= set(range(8))
    assert len(set(picture["owners"])) > 1
    assert -1 <= result.measured["silhouette"] <= 1
