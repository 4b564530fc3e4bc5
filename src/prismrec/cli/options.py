"""Options and errors that several commands share."""

from prismrec.errors import InputError, ParameterError

_HYPERPARAMETER = "config."
_OPTIONS = {"k": "-k", "histories": "--history", "items": "ITEM"}
"""Options and arguments that are not called like the parameter that they set."""


def describe_error(error: InputError) -> str:
    """The message of an error, with the option in place of the parameter that the option sets."""
    if not isinstance(error, ParameterError):
        return str(error)
    name = error.parameter
    if name.startswith(_HYPERPARAMETER):
        option = f"--set {name[len(_HYPERPARAMETER) :]}"
    else:
        option = _OPTIONS.get(name, "--" + name.replace("_", "-"))
    return str(InputError(option, error.found, error.expected))


def check_device_and_precision(device: str, precision: str) -> None:
    """Check the values of --device and --precision.

    Raises:
        InputError: a value is unknown.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError("--device", repr(device), "auto, cpu or cuda")
    if precision not in ("float32", "bf16"):
        raise InputError("--precision", repr(precision), "float32 or bf16")
