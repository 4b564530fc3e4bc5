"""Loading the compiled library and calling its functions."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from torch import Tensor

_TYPES = {torch.float32: "float", torch.float64: "double"}
_P, _N, _R = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double  # pointers, numbers and real factors
_ARGUMENTS = {
    "product": [_P, _P, _P, _N, _P, _N, _P, _N, _P, _N, _P, _R, _N, _P],
    "triplet_margins": [_P, _P, _N, _P, _P, _N, _N, _N, _P, _P],
    "triplet_gradient": [_P, _P, _N, _P, _P, _N, _N, _N, _P, _P, ctypes.c_int, _N, _P],
    "contrast": [_P, _P, _P, _P, _P, _P, _N, _N, _N, _N, _P, _P, _P],
    "top_k_keys": [_P, _N, _N, _N, _N, _P],
    "adam": [_P, _P, _P, _N, _N, _P, _P, _N, _R, _R, _R, _R, _R, _R],
}


def _load() -> ctypes.CDLL | None:
    """The library, or None if it is switched off, was not built or cannot be loaded into this PyTorch.

    Raises:
        ImportError: PRISMREC_KERNELS names a library that cannot be loaded.
    """
    built = find_spec("prismrec.ops._kernels._kernels")
    wanted = os.environ.get("PRISMREC_KERNELS", "on")
    path = (built.origin if built else None) if wanted in ("", "on") else wanted
    if path is None or path == "off":
        return None
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        if path == wanted:
            raise ImportError(f"PRISMREC_KERNELS is {wanted!r}: {error}; expected on, off or a library") from error
        return None  # for example, this PyTorch uses another OpenMP runtime
    for name, arguments in _ARGUMENTS.items():
        for real in ("float",) if name == "top_k_keys" else _TYPES.values():
            function = getattr(library, f"{name}_{real}")
            function.argtypes, function.restype = arguments, ctypes.c_int
    return library


_library = _load()


def available() -> bool:
    """Whether the compiled kernels are loaded."""
    return _library is not None


def usable(*tensors: Tensor) -> bool:
    """Whether the kernels are loaded and support these tensors: on the CPU, all float32 or all float64."""
    dtype = tensors[0].dtype
    return available() and dtype in _TYPES and all(x.is_cpu and x.dtype == dtype for x in tensors)


@contextmanager
def without_kernels() -> Iterator[None]:
    """Use the plain PyTorch forms inside the block."""
    global _library  # noqa: PLW0603  # the one place where the library is swapped
    library, _library = _library, None
    try:
        yield
    finally:
        _library = library


def call(name: str, dtype: torch.dtype, *arguments: Tensor | float | None) -> None:
    """Call a function of the library; tensors are passed as addresses, so the caller must keep them alive.

    Raises:
        IndexError: a row number is out of range.
    """
    function = getattr(_library, f"{name}_{_TYPES[dtype]}")
    addresses = [x.data_ptr() if isinstance(x, Tensor) else x for x in arguments]
    if not function(*addresses):
        raise IndexError(f"{name}: a row number is out of range")
