"""The features of a data set as a model gets them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import prismrec
from prismrec.data import Dataset
from prismrec.data.normalise import normalise
from prismrec.demo import ShopConfig, make_shop
from prismrec.errors import ParameterError
from prismrec.experiments.features import features_for
from prismrec.models import find_model
from prismrec.records import Settings

STANDARDISE = Settings(epochs=2, normalise="standardise")


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return make_shop(ShopConfig(users=60, items=40, interactions=600)).dataset()


def test_a_model_learns_from_normalised_features_as_from_features_that_were_normalised_before(shop: Dataset) -> None:
    before = {name: normalise(rows, shop.present[name], "standardise") for name, rows in shop.features.items()}
    ours = prismrec.train("VBPR", shop, settings=STANDARDISE)
    same = prismrec.train("VBPR", replace(shop, features=before), settings=Settings(epochs=2))
    other = prismrec.train("VBPR", shop, settings=Settings(epochs=2))
    assert torch.equal(ours.embeddings.items, same.embeddings.items)
    assert not torch.equal(ours.embeddings.items, other.embeddings.items)


def test_the_run_and_its_features_for_similarity_keep_the_data_as_they_are(shop: Dataset) -> None:
    run = prismrec.train("VBPR", shop, settings=STANDARDISE)
    assert run.manifest.settings.normalise == "standardise"
    assert run.manifest.fingerprint == shop.fingerprint
    plain = prismrec.train("VBPR", shop, settings=Settings(epochs=1))
    for name, rows in plain.features.items():
        assert torch.equal(run.features[name], rows)


def test_items_without_a_modality_stay_marked(shop: Dataset) -> None:
    name = next(iter(shop.features))
    present = np.arange(len(shop.items)) > 4
    lacking = replace(shop, present={**shop.present, name: present})
    found = features_for(find_model("Prism"), lacking, STANDARDISE)[name]
    assert found[:5].isnan().all()
    assert found[5:].isfinite().all()


def test_a_precision_that_a_model_lacks_is_refused(shop: Dataset) -> None:
    with pytest.raises(ParameterError, match=r"precision: found bf16 for Prism, .*; expected float32, or one of"):
        features_for(find_model("Prism"), shop, Settings(precision="bf16"))
