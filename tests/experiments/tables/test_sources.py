from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.tables.examples import table
from prismrec.data import Dataset, SplitSpec, load, write_table
from prismrec.errors import InputError
from prismrec.experiments.tables.schema import match_modality
from prismrec.experiments.tables.sources import as_source, find_sources, hide_features, split_again, with_modality


def test_data_are_those_of_the_paper_if_all_counts_agree(shop: Dataset) -> None:
    assert as_source(shop, table()).published == "mine"
    paper = table().paper
    fewer = paper.model_copy(
        update={"data": {**paper.data, "mine": paper.data["mine"].model_copy(update={"interactions": 599})}}
    )
    assert as_source(shop, table(paper=fewer)).published is None


def test_data_of_the_paper_are_found_and_what_is_missing_is_said(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(shop, tmp_path / "mine")
    monkeypatch.setenv("PRISMREC_DATA", str(tmp_path))
    found, missing = find_sources(table(), [])
    assert [(each.name, each.published) for each in found] == [("mine", "mine")]
    assert [(each.name, each.where) for each in missing] == [("other", "nowhere")]
    by_name, _ = find_sources(table(), ["mine"])
    by_path, _ = find_sources(table(), [str(tmp_path / "mine")])
    assert by_name[0].dataset.fingerprint == by_path[0].dataset.fingerprint


def test_two_data_sets_of_one_name_are_refused(shop: Dataset, tmp_path: Path) -> None:
    write_table(shop, tmp_path / "a" / "mine")
    with pytest.raises(InputError, match="one name"):
        find_sources(table(), [str(tmp_path / "a" / "mine"), str(tmp_path / "a" / "mine")])


def test_without_any_data_the_error_says_where_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PRISMREC_DATA", raising=False)
    with pytest.raises(InputError, match=r"PRISMREC_DATA is unset.*from the author"):
        find_sources(table(), [])
    monkeypatch.setenv("PRISMREC_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"none of the paper's data sets.*from the author"):
        find_sources(table(), [])
    with pytest.raises(InputError, match=r"'absent'.*PRISMREC_DATA"):
        find_sources(table(), ["absent"])
    with pytest.raises(InputError, match=r"\.\./absent"):
        find_sources(table(), ["../absent"])


def test_a_table_of_new_items_splits_the_same_pairs_by_item(shop: Dataset) -> None:
    cold = as_source(shop, table(split="cold-items")).dataset
    before = np.sort(
        np.concatenate([s.users.astype(np.int64) * 1000 + s.items for s in (shop.train, shop.valid, shop.test)])
    )
    after = np.sort(
        np.concatenate([s.users.astype(np.int64) * 1000 + s.items for s in (cold.train, cold.valid, cold.test)])
    )
    assert (before == after).all()
    held_out = set(cold.test.items.tolist()) | set(cold.valid.items.tolist())
    assert held_out
    assert not held_out & set(cold.train.items.tolist())


def test_splitting_again_by_time_needs_times(shop: Dataset) -> None:
    with pytest.raises(InputError, match="timestamp"):
        split_again(shop, SplitSpec(by="time"))


def test_a_single_modality_makes_other_data(shop: Dataset) -> None:
    image = with_modality(shop, "image")
    assert list(image.features) == ["image"]
    assert image.fingerprint != shop.fingerprint


def test_hidden_features_are_absent_and_look_like_features_that_were_never_there(shop: Dataset, tmp_path: Path) -> None:
    hidden = hide_features(shop, 0.3, 0)
    write_table(shop, tmp_path / "shop")
    for name in shop.features:
        path = tmp_path / "shop" / "features" / f"{name}.npz"
        with np.load(path) as file:
            kept = np.isin(file["ids"], np.array(shop.items.ids.to_list())[hidden.present[name]])
            np.savez(path, ids=file["ids"][kept], features=file["features"][kept])
    read = load(tmp_path / "shop")
    assert read.fingerprint == hidden.fingerprint


def test_each_modality_is_hidden_for_other_items_and_each_seed_hides_others(shop: Dataset) -> None:
    hidden = hide_features(shop, 0.5, 0)
    counts = {name: int((~present).sum()) for name, present in hidden.present.items()}
    assert counts == dict.fromkeys(shop.features, 20)
    first, second = hidden.present.values()
    assert (first != second).any()
    other = hide_features(shop, 0.5, 1)
    assert any((other.present[name] != present).any() for name, present in hidden.present.items())


def test_a_larger_share_hides_the_items_of_a_smaller_one(shop: Dataset) -> None:
    few, many = hide_features(shop, 0.1, 0), hide_features(shop, 0.9, 0)
    for name in shop.features:
        assert not (many.present[name] & ~few.present[name]).any()
        assert many.present[name].sum() == 4


def test_only_items_with_the_modality_lose_it_and_one_keeps_it(shop: Dataset) -> None:
    name = next(iter(shop.features))
    present = np.zeros(40, dtype=np.bool_)
    present[[3, 7]] = True
    sparse = replace(shop, features={name: shop.features[name]}, present={name: present})
    for share, left in ((0.5, 1), (0.99, 1), (0.2, 2)):
        kept = hide_features(sparse, share, 0).present[name]
        assert kept.sum() == left
        assert not (kept & ~present).any()
    assert hide_features(sparse, 0, 0) is sparse


@pytest.mark.parametrize(
    ("name", "available", "found"),
    [
        ("visual", ["image_feat", "audio_feat"], "image_feat"),
        ("acoustic", ["image", "audio"], "audio"),
        ("textual", ["image", "audio"], None),
        ("textual", ["text", "image"], "text"),
        ("price", ["price"], "price"),
        ("price", ["image"], None),
    ],
)
def test_names_of_modalities_in_papers_match_those_in_data(name: str, available: list[str], found: str | None) -> None:
    assert match_modality(name, available) == found
