"""The options that say how the machine computes, the same for all commands that train."""

from prismrec.errors import InputError


def check_machine_words(device: str, precision: str) -> None:
    """Refuse words that are no device or no precision.

    Raises:
        InputError: naming the option.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError("--device", repr(device), "auto, cpu or cuda")
    if precision not in ("float32", "bf16"):
        raise InputError("--precision", repr(precision), "float32 or bf16")
