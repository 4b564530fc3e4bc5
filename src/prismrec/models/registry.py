"""The models by name."""

from importlib import import_module
from importlib.metadata import entry_points
from inspect import isabstract

from prismrec.errors import InputError, printable
from prismrec.models.acf import ACF
from prismrec.models.base import ModelConfig, Recommender
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
from prismrec.models.prism import Prism
from prismrec.models.sgl import SGL
from prismrec.models.sht import SHT, SHTLight
from prismrec.models.slmrec import SLMRec
from prismrec.models.spectral import Spectral
from prismrec.models.vbpr import VBPR

_MODELS: tuple[type[Recommender], ...] = (
    Prism,
    Spectral,
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
_ENTRY_POINTS = "prismrec.models"
"""The group of entry points in which other packages name their models."""
REGISTRY: dict[str, type[Recommender]] = {model.name: model for model in _MODELS}
"""Every model by its name: the house model and its closed form, then collaborative models, then multimodal ones."""


def find_model(model: str | type[Recommender]) -> type[Recommender]:
    """The class of a model.

    Args:
        model: the class itself; a name from the registry or from the entry points `prismrec.models` of installed
            packages, where case, hyphens and underscores do not matter; or "package.module:Class".

    Raises:
        InputError: there is no such model, or it is not a `Recommender`; the message lists all names.
    """
    if not isinstance(model, str):
        return _checked(model, repr(model))
    if ":" in model:
        return _checked(_import(model), repr(model))
    plain = _plain(model)
    for known in _MODELS:
        if _plain(known.name) == plain:
            return known
    for entry in entry_points(group=_ENTRY_POINTS):
        if _plain(entry.name) == plain:
            return _checked(_import(entry.value), f"entry point {entry.name!r}")
    names = [*REGISTRY, *entry_points(group=_ENTRY_POINTS).names]
    raise InputError("model", repr(model), f"one of {', '.join(names)}, or package.module:Class")


def _import(path: str) -> object:
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (Exception, SystemExit) as error:  # the module is the user's, and may do anything
        reason = str(error) if isinstance(error, ImportError | AttributeError) else repr(error)
        raise InputError("model", f"{path!r}: {reason}", "package.module:Class") from error


def _checked(model: object, found: str) -> type[Recommender]:
    if not (isinstance(model, type) and issubclass(model, Recommender)) or isabstract(model):
        raise InputError("model", found, "a subclass of prismrec.models.Recommender with embed and forward")
    for attribute in ("name", "paper", "cost"):
        if not isinstance(getattr(model, attribute, None), str):
            raise InputError("model", f"{found} without {attribute!r}", "a class attribute with a text")
    if not model.name or printable(model.name) != model.name:
        raise InputError("model", f"{found} with the name {model.name!r}", "a name that can be printed")
    if REGISTRY.get(model.name, model) is not model:  # a run would be taken for one of the other model
        raise InputError("model", f"{found} with the name of another model, {model.name!r}", "a name of its own")
    config = getattr(model, "Config", None)
    if not (isinstance(config, type) and issubclass(config, ModelConfig)):
        raise InputError("model", f"{found} with Config = {config!r}", "a subclass of prismrec.models.ModelConfig")
    return model


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
