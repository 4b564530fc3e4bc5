"""The manifest of a run that is about to be trained here."""

import platform
from importlib.metadata import version

import numpy as np
import scipy
import torch

from prismrec.data import Dataset
from prismrec.models import ModelConfig
from prismrec.ops import kernels_available
from prismrec.ops.device import pick_device
from prismrec.records import Settings
from prismrec.runs import CustomNames, Manifest


def make_manifest(
    model: str, dataset: Dataset, config: ModelConfig, settings: Settings, custom: CustomNames | None = None
) -> Manifest:
    """Model, config, settings, data and the caller's own parts of a run, with the versions and the machine.

    Raises:
        InputError: the device is absent.
    """
    versions = {
        "prismrec": version("prismrec"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "kernels": "compiled" if kernels_available() else "none",
    }
    machine = {
        "device": pick_device(settings.device).type,
        "threads": str(torch.get_num_threads()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    return Manifest(
        model=model,
        config=config.model_dump(mode="json"),
        settings=settings,
        data=dataset.name,
        fingerprint=dataset.fingerprint,
        notes=dataset.notes,
        modalities={modality: matrix.shape[1] for modality, matrix in dataset.features.items()},
        encodings={modality: encoding.manifest for modality, encoding in dataset.encodings.items()},
        versions=versions,
        origin=dataset.origin,
        folder=dataset.folder,
        custom=custom,
        machine=machine,
    )
