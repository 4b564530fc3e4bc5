"""The models by name."""

from prismrec.errors import InputError
from prismrec.models.acf import ACF
from prismrec.models.base import Recommender
from prismrec.models.bm3 import BM3
from prismrec.models.grcn import GRCN
from prismrec.models.hccf import HCCF, HCCFTorch
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
from prismrec.models.sht import SHT, SHTLight
from prismrec.models.slmrec import SLMRec
from prismrec.models.vbpr import VBPR

_MODELS: tuple[type[Recommender], ...] = (
    MostPopular,
    MFBPR,
    NGCF,
    LightGCN,
    SGL,
    NCL,
    HCCF,
    HCCFTorch,
    SHT,
    SHTLight,
    VBPR,
    ACF,
    MMGCN,
    GRCN,
    MMGCL,
    SLMRec,
    LATTICE,
    MICRO,
    BM3,
    LUDP,
    LGMRec,
)
REGISTRY: dict[str, type[Recommender]] = {model.name: model for model in _MODELS}
"""Every model by its name: collaborative models first, then multimodal ones."""


def find_model(name: str) -> type[Recommender]:
    """The model of a name; case, hyphens and underscores do not matter.

    Raises:
        InputError: there is no such model; the message lists all names.
    """
    plain = _plain(name)
    for model in _MODELS:
        if _plain(model.name) == plain:
            return model
    raise InputError("model", repr(name), f"one of {', '.join(REGISTRY)}")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
