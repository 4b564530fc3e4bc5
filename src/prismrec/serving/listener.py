"""The socket that a server listens on, and one for each worker process."""

import socket
import sys
from collections.abc import Callable
from typing import SupportsIndex

from prismrec.errors import InputError


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address.

    Raises:
        InputError: it cannot be bound.
    """
    if not host:  # which the system would take for all addresses
        raise InputError("address", "no host", "a free address of this machine")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, ValueError, TypeError) as error:  # the last two: a name that cannot be encoded
        listener.close()
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError("address", f"{host}:{port} ({reason})", "a free address of this machine") from error
    listener.set_inheritable(True)
    return listener


def one_per_worker(listener: socket.socket) -> socket.socket:
    """A bound socket to pass to worker processes, which share its address.

    On Linux, each process gets a socket of its own, and the kernel spreads connections over them. From one socket for
    all, the first process that wakes accepts all waiting connections, such as those of the pool of a reverse proxy.
    """
    if sys.platform != "linux":  # other systems do not spread connections
        return listener
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # after binding, which has found other servers
    return _OnePerProcess(fileno=listener.detach())


class _OnePerProcess(socket.socket):
    """A socket that is pickled as its address."""

    def __reduce_ex__(self, _protocol: SupportsIndex) -> tuple[Callable[..., socket.socket], tuple[int, str, int]]:
        host, port = self.getsockname()[:2]
        return _share_address, (self.family, host, port)


def _share_address(family: int, host: str, port: int) -> socket.socket:
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    return listener
