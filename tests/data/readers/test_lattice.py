import json

import numpy as np

from prismrec.data import load


def test_json_lists_become_splits_and_features_lie_one_folder_above(folder):
    splits = {"train": {"1": [3, 0], "0": []}, "val": {"1": [1]}, "test": {"0": [2], "1": [2]}}
    files = {f"5-core/{name}.json": json.dumps(lists) for name, lists in splits.items()}
    dataset = load(folder(files | {"image_feat.npy": np.eye(5), "text_feat.npy": np.ones((5, 3))}))
    assert (len(dataset.users), len(dataset.items)) == (2, 5)
    assert list(zip(dataset.train.users, dataset.train.items, strict=True)) == [(1, 0), (1, 3)]
    assert list(zip(dataset.valid.users, dataset.valid.items, strict=True)) == [(1, 1)]
    assert list(zip(dataset.test.users, dataset.test.items, strict=True)) == [(0, 2), (1, 2)]
    np.testing.assert_array_equal(dataset.features["image"], np.eye(5))
