"""Check the types of the arguments of `train` before anything is built or written."""

import os
from collections.abc import Iterable, Mapping
from numbers import Integral, Real

from prismrec.data import Dataset
from prismrec.errors import ParameterError, check_flag, check_list, check_type
from prismrec.experiments.space import Space
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
    for callback in check_list("callbacks", callbacks, "a list of callbacks"):
        check_type("callbacks", callback, Callback, "subclasses of prismrec.Callback")
    if metric is not None and not callable(metric):
        raise ParameterError("metric", repr(metric), "a function; Settings.metric takes the name of a metric")
    if sampler is not None and (isinstance(sampler, type) or not callable(getattr(sampler, "epoch", None))):
        raise ParameterError(
            "sampler", repr(sampler), "an object with a method epoch; config takes the name of a sampler"
        )
    check_type("loss_terms", loss_terms, (Mapping, nothing), "loss terms by name")
    for name, term in (loss_terms or {}).items():  # type: ignore[attr-defined]
        check_type("loss_terms", name, str, "names that are texts")
        if not callable(term):
            raise ParameterError("loss_terms", f"an object of type {type(term).__name__}", "functions")


def check_modes(*, resume: bool, overwrite: bool) -> None:
    """Refuse `resume` together with `overwrite`.

    Raises:
        ParameterError: both are given, or one is no truth value.
    """
    check_flag("resume", resume)
    check_flag("overwrite", overwrite)
    if resume and overwrite:
        raise ParameterError("overwrite", "resume too", "one of them")


def check_tune_arguments(
    dataset: object,
    space: object,
    folder: object,
    config: object,
    settings: object,
    trials: object,
    time_limit: object,
) -> None:
    """Refuse arguments of `tune` of the wrong type.

    Raises:
        ParameterError: an argument has another type or size than `tune` says.
    """
    nothing = type(None)
    check_type("dataset", dataset, Dataset, "a Dataset, from prismrec.load or prismrec.dataset")
    check_type("space", space, (Space, Mapping, nothing), "hyperparameters and their values")
    check_type("folder", folder, (str, os.PathLike), "a path")
    check_type("config", config, (Mapping, nothing), "hyperparameters by name")
    check_type("settings", settings, (Settings, nothing), "prismrec.Settings")
    check_type("trials", trials, (Integral, nothing), "a whole number, 1 or more")
    check_type("time_limit", time_limit, (Real, nothing), "a number of seconds")
    for name, value in (("trials", trials), ("time_limit", time_limit)):
        if value is not None and not value > 0:  # type: ignore[operator]
            raise ParameterError(name, str(value), "more than 0")


def check_workers(workers: object, report: object) -> None:
    """Refuse arguments of a search that is about to run.

    Raises:
        ParameterError: the number of workers is no whole number or below 1, or `report` cannot be called.
    """
    check_type("workers", workers, (Integral, type(None)), "a whole number, 1 or more")
    if workers is not None and not workers >= 1:  # type: ignore[operator]
        raise ParameterError("workers", str(workers), "1 or more")
    if report is not None and not callable(report):
        raise ParameterError("report", f"an object of type {type(report).__name__}", "a function")
