"""Check the types of the arguments of `train` before anything is built or written."""

import os
from collections.abc import Iterable, Mapping

from prismrec.data import Dataset
from prismrec.errors import ParameterError, check_type
from prismrec.models import ModelConfig, Recommender, find_model
from prismrec.records import Settings
from prismrec.training import Callback


def check_arguments(
    model: str | type[Recommender],
    dataset: object,
    config: object,
    settings: object,
    out: object,
    callbacks: object,
    metric: object,
    sampler: object,
    loss_terms: object,
) -> None:
    """Refuse arguments of `train` of the wrong type.

    Raises:
        InputError: the model is unknown.
        ParameterError: an argument has another type than `train` says.
    """
    kind = find_model(model)
    nothing = type(None)
    check_type("dataset", dataset, Dataset, "a Dataset, from prismrec.load or prismrec.dataset")
    if isinstance(config, ModelConfig) and not isinstance(config, kind.Config):
        raise ParameterError("config", f"a {type(config).__name__}", f"a {kind.Config.__name__}, for {kind.name}")
    check_type("config", config, (ModelConfig, Mapping, nothing), "hyperparameters by name")
    check_type("settings", settings, (Settings, nothing), "prismrec.Settings")
    check_type("out", out, (str, os.PathLike, nothing), "a path")
    check_type("callbacks", callbacks, Iterable, "a list of callbacks")
    for callback in callbacks:  # type: ignore[attr-defined]
        check_type("callbacks", callback, Callback, "subclasses of prismrec.Callback")
    if metric is not None and not callable(metric):
        raise ParameterError("metric", repr(metric), "a function; Settings.metric takes the name of a metric")
    if sampler is not None and not callable(getattr(sampler, "epoch", None)):
        raise ParameterError(
            "sampler", repr(sampler), "an object with a method epoch; config takes the name of a sampler"
        )
    check_type("loss_terms", loss_terms, (Mapping, nothing), "loss terms by name")
    for name in loss_terms or ():  # type: ignore[attr-defined]
        check_type("loss_terms", name, str, "names that are texts")


def check_modes(*, resume: bool, overwrite: bool) -> None:
    """Refuse `resume` together with `overwrite`.

    Raises:
        ParameterError: both are given.
    """
    if resume and overwrite:
        raise ParameterError("overwrite", "resume too", "one of them")
