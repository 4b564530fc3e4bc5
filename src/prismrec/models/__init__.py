"""The models, one paper one file, and the registry that finds them by name."""

from prismrec.errors import InputError
from prismrec.models.acf import ACF
from prismrec.models.base import ModelConfig, Recommender
from prismrec.models.bm3 import BM3
from prismrec.models.grcn import GRCN
from prismrec.models.hccf import HCCF
from prismrec.models.lattice import LATTICE
from prismrec.models.lgmrec import LGMRec
from prismrec.models.lightgcn import LightGCN
from prismrec.models.ludp import LUDP
from prismrec.models.mf_bpr import MFBPR
from prismrec.models.micro import MICRO
from prismrec.models.mmgcl import MMGCL
from prismrec.models.mmgcn import MMGCN
from prismrec.models.ncl import NCL
from prismrec.models.ngcf import NGCF
from prismrec.models.popular import MostPopular
from prismrec.models.sgl import SGL
from prismrec.models.sht import SHT
from prismrec.models.slmrec import SLMRec
from prismrec.models.vbpr import VBPR

REGISTRY: dict[str, type[Recommender]] = {
    "most-popular": MostPopular,
    "MF-BPR": MFBPR,
    "NGCF": NGCF,
    "LightGCN": LightGCN,
    "SGL": SGL,
    "NCL": NCL,
    "VBPR": VBPR,
    "MMGCN": MMGCN,
    "GRCN": GRCN,
    "MMGCL": MMGCL,
    "SLMRec": SLMRec,
    "LATTICE": LATTICE,
    "MICRO": MICRO,
    "LUDP": LUDP,
    "LGMRec": LGMRec,
    "HCCF": HCCF,
    "ACF": ACF,
    "SHT": SHT,
    "BM3": BM3,
}
"""Every model by the name its paper gives it."""


def canonical_name(name: str) -> str:
    """The registered name, whatever the case, hyphens and underscores of `name`.

    Raises:
        InputError: there is no such model; the message lists those there are.
    """
    plain = _plain(name)
    for known in REGISTRY:
        if _plain(known) == plain:
            return known
    raise InputError("model", repr(name), f"one of {', '.join(REGISTRY)}")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


__all__ = [
    "ACF",
    "BM3",
    "GRCN",
    "HCCF",
    "LATTICE",
    "LUDP",
    "MFBPR",
    "MICRO",
    "MMGCL",
    "MMGCN",
    "NCL",
    "NGCF",
    "REGISTRY",
    "SGL",
    "SHT",
    "VBPR",
    "LGMRec",
    "LightGCN",
    "ModelConfig",
    "MostPopular",
    "Recommender",
    "SLMRec",
    "canonical_name",
]
