"""What benchmarks/results.py trains: one entry per model and data set."""

import itertools
from dataclasses import dataclass

Configuration = dict[str, object]
Grid = dict[str, tuple[object, ...]]


@dataclass(frozen=True)
class Entry:
    """A model on a data set.

    Attributes:
        data: name of the data set.
        model: name of the model.
        grids: hyperparameters to try; every combination of the values of one grid is a configuration.
        seeds: the first one trains every configuration, the others train the best one.
        patience: stop after this many validations without an improvement. With 20, some models stop on a plateau and
            do not reach their later, higher values.
    """

    data: str
    model: str
    grids: tuple[Grid, ...] = ({},)
    seeds: tuple[int, ...] = (0, 1, 2)
    patience: int = 20

    @property
    def name(self) -> str:
        return f"{self.data}/{self.model}"

    def configurations(self) -> list[Configuration]:
        return [
            dict(zip(grid, values, strict=True)) for grid in self.grids for values in itertools.product(*grid.values())
        ]


_XAVIER_NORMS: Grid = {"initialiser": ("xavier",), "regulariser_form": ("norms",)}
_NORMS: Grid = {"regulariser_form": ("norms",)}
_STRONG_CONTRAST: Grid = {"contrast_weight": (1.0,), "regulariser": (3e-3,)}
TIKTOK = (
    Entry("tiktok", "most-popular", seeds=(0,)),
    Entry(
        "tiktok", "MF-BPR", ({"regulariser": (0.01, 0.1), **_NORMS}, {"regulariser": (0.01, 0.03, 0.1)}), patience=50
    ),
    Entry(
        "tiktok",
        "NGCF",
        (
            {"regulariser": (1e-5, 1e-2)},
            {"dropout": (0.5,)},
            {"learning_rate": (1e-4,)},
            {"dropout": (0.5,), "learning_rate": (1e-4,)},
        ),
    ),
    Entry("tiktok", "LightGCN", ({"layers": (2,), **_XAVIER_NORMS},), patience=50),
    Entry("tiktok", "SGL", ({"contrast_weight": (0.1, 0.01)},)),
    Entry("tiktok", "NCL"),
    Entry("tiktok", "HCCF", ({"contrast_weight": (1e-5,)},)),
    Entry("tiktok", "HCCF-torch", (_STRONG_CONTRAST,)),
    Entry("tiktok", "SHT", ({"regulariser": (1e-4, 1e-3, 1e-2, 1e-1)},)),
    Entry("tiktok", "VBPR", ({"regulariser": (0.01,)},), patience=50),
    Entry("tiktok", "ACF"),
    Entry("tiktok", "MMGCN", ({"learning_rate": (1e-3, 1e-4)},)),
    Entry("tiktok", "GRCN", ({"learning_rate": (1e-3,)}, {"learning_rate": (1e-3,), "regulariser": (1e-2, 1e-1)})),
    Entry(
        "tiktok",
        "LATTICE",
        (
            {},
            {"learning_rate": (1e-3,), "regulariser": (1e-4, 1e-3)},
            {"learning_rate": (1e-3,), "regulariser": (1e-4,), "interaction_graph": ("sym",)},
        ),
        patience=50,
    ),
    Entry("tiktok", "MMGCL", ({}, {"contrast_weight": (0.4, 0.04), "weight_decay": (1e-6,)})),
    Entry("tiktok", "MICRO", seeds=(0,)),
    Entry("tiktok", "SLMRec", ({"learning_rate": (1e-3, 1e-2)},)),
    Entry("tiktok", "BM3", patience=50),
    Entry("tiktok", "LGMRec", patience=50),
    Entry(
        "tiktok", "LUDP", ({}, {"regulariser": (1e-2, 1e-1)}, {"learning_rate": (1e-4,), "regulariser": (1e-4, 1e-2)})
    ),
)
BABY = (
    Entry("baby", "most-popular", seeds=(0,)),
    Entry("baby", "MF-BPR", ({"regulariser": (0.1, 1.0, 2.0), **_NORMS}, {"regulariser": (0.003, 0.01, 0.03, 0.1)})),
    Entry("baby", "NGCF", seeds=(0,)),
    Entry("baby", "LightGCN", ({"layers": (2, 3), "regulariser": (1e-4, 1e-3), **_XAVIER_NORMS},)),
    Entry("baby", "SGL", ({"contrast_weight": (0.1, 0.01)},)),
    Entry("baby", "NCL", ({}, {"structure_weight": (2e-6,), "temperature": (0.2,)}, {"regulariser": (1e-3,)})),
    Entry(
        "baby",
        "HCCF-torch",
        (
            _STRONG_CONTRAST,
            {"hyperedges": (8,), "regulariser": (3e-3,)},
            {"hyperedges": (16,), "regulariser": (6e-3, 1e-2), "keep_rate": (0.8,)},
            {"hyperedges": (32,), "regulariser": (1e-2,), "keep_rate": (0.9,)},
        ),
    ),
    Entry("baby", "SHT", ({"regulariser": (1e-4, 1e-3, 1e-2, 3e-2)}, {"regulariser": (1e-2,), "lr_decay": (1.0,)})),
    Entry("baby", "SHT-light", ({"regulariser": (3e-7, 3e-6, 3e-5, 1e-4)},)),
)
PLAN = TIKTOK + BABY
REFERENCE = {
    "tiktok/MF-BPR": 0.0483,
    "tiktok/LightGCN": 0.0922,
    "tiktok/VBPR": 0.0274,
    "tiktok/LATTICE": 0.0828,
    "tiktok/SLMRec": 0.0931,
    "tiktok/BM3": 0.0620,
    "tiktok/LGMRec": 0.0643,
    "baby/MF-BPR": 0.0607,
    "baby/LightGCN": 0.0732,
    "baby/SGL": 0.0820,
    "baby/NCL": 0.0836,
    "baby/HCCF-torch": 0.0756,
    "baby/SHT-light": 0.0748,
}
"""Test recall@20 of a model of the same name. `tiktok`: one run each of MMRec at commit e775373; `baby`: Table 2 of
LGMRec, where HCCF and SHT stand for our HCCF-torch and SHT-light."""
