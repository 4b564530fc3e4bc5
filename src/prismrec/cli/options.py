"""Checks that several commands share."""

from prismrec.errors import InputError


def check_device_and_precision(device: str, precision: str) -> None:
    """Refuse other names of devices and precisions.

    Raises:
        InputError: naming the option.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError("--device", repr(device), "auto, cpu or cuda")
    if precision not in ("float32", "bf16"):
        raise InputError("--precision", repr(precision), "float32 or bf16")
