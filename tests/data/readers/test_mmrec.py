import numpy as np
import pytest

from prismrec.data import load

INTER = "userID\titemID\trating\tx_label\n0\t2\t5.0\t0\n1\t0\t1.0\t0\n1\t2\t4.0\t2\n0\t0\t4.0\t1\n"


def test_numbers_are_rows_labels_are_splits_and_features_are_modalities(folder):
    image = np.arange(8, dtype=np.float16).reshape(4, 2)
    dataset = load(folder({"baby.inter": INTER, "image_feat.npy": image, "v_clip_feat.npy": np.ones((4, 3))}))
    assert dataset.name == "baby"
    assert list(zip(dataset.train.users, dataset.train.items, strict=True)) == [(0, 2), (1, 0)]
    assert list(zip(dataset.valid.users, dataset.valid.items, strict=True)) == [(0, 0)]
    assert list(zip(dataset.test.users, dataset.test.items, strict=True)) == [(1, 2)]
    assert len(dataset.items) == 4
    assert set(dataset.features) == {"image", "v_clip"}
    assert dataset.features["image"].dtype == np.float32
    np.testing.assert_array_equal(dataset.features["image"], image)
    assert "baby.inter: columns not used: rating" in dataset.notes


@pytest.mark.parametrize(("wanted", "read"), [(["text"], {"text"}), ([], set())])
def test_modalities_that_are_not_wanted_still_count_the_items(wanted, read, folder):
    source = folder({"baby.inter": INTER, "text_feat.npy": np.ones((5, 2)), "image_feat.npy": np.ones((5, 2))})
    dataset = load(source, modalities=wanted)
    assert set(dataset.features) == read
    assert len(dataset.items) == 5


def test_without_features_the_highest_number_counts_the_items(folder):
    assert len(load(folder({"baby.inter": INTER})).items) == 3
