"""Refuse a model that is too large for the memory or the disk."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from prismrec.errors import InputError
from prismrec.memory import available_memory
from prismrec.models import Recommender

_COPIES = 4
"""Training holds a weight, its gradient and two moments of Adam."""
_LARGE = 1 << 28
"""Bytes. Larger tensors count as weights as soon as a constructor creates them."""
_CREATORS = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "std::bad_alloc", "out of memory")
"""Parts of the messages of PyTorch and of the kernels when an allocation fails."""


@contextmanager
def limited_weights(name: str) -> Iterator[None]:
    """Refuse weights that would not fit in the available memory with their gradients and the state of Adam.

    The weights count as they are made, and a large tensor counts before it is made. Activations are not counted.

    Args:
        name: of the model.

    Raises:
        InputError: the weights that are made in the block do not fit.
    """
    available = available_memory()
    if available is None:
        yield
        return
    counter = _Counter(name, available)
    hook = register_module_parameter_registration_hook(counter.register)
    try:
        with counter:
            yield
    finally:
        hook.remove()


@contextmanager
def memory_errors(name: str) -> Iterator[None]:
    """Raise an `InputError` if memory runs out in the block.

    Args:
        name: of the model.

    Raises:
        InputError: an allocation failed.
    """
    try:
        yield
    except MemoryError as error:
        raise _too_large(name, str(error) or "no memory left") from error
    except RuntimeError as error:
        if not any(part in str(error) for part in _OUT_OF_MEMORY):
            raise
        raise _too_large(name, str(error)) from error


def check_disk(model: Recommender, folder: Path) -> None:
    """Refuse a folder without room for the weights of a run and its checkpoint.

    Raises:
        InputError: there is too little room.
    """
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    moments = 2 * sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    needed = 3 * weights + moments  # in the end: weights of the last epoch and, twice, of the best one
    free = shutil.disk_usage(folder).free
    if needed > free:
        expected = f"{needed:,} bytes for the weights and the checkpoint of {model.name}"
        raise InputError(folder, f"{free:,} bytes of free space", expected)


class _Counter(TorchFunctionMode):
    def __init__(self, name: str, available: int) -> None:
        super().__init__()
        self._name = name
        self._available = available
        self._bytes = 0

    def register(self, _module: nn.Module, _name: str, parameter: Tensor | None) -> None:
        """Count a weight."""
        if parameter is not None:
            self._bytes += parameter.nbytes if parameter.requires_grad else parameter.nbytes // _COPIES
            self._check(self._bytes)

    def _check(self, size: int) -> None:
        if _COPIES * size > self._available:
            needed = _COPIES * size / 2**30
            found = f"weights that take {needed:,.1f} GiB or more, with their gradients and the state of Adam"
            expected = (
                f"at most the available memory, {self._available / 2**30:,.1f} GiB: reduce the widths of the model"
            )
            raise InputError(self._name, found, expected)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _CREATORS:
            size = args[0] if len(args) == 1 and isinstance(args[0], Sequence) else args
            created = 4 * prod(int(length) for length in size if isinstance(length, int))
            if size and created >= _LARGE:
                self._check(self._bytes + created)
        return func(*args, **(kwargs or {}))


def _too_large(name: str, found: str) -> InputError:
    text = found.partition("\n")[0]
    return InputError(name, f"no memory left ({text})", "smaller widths or batches, or a machine with more memory")
