"""Ctrl-C without the loss of an epoch."""

import signal
import threading
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class HeldSignals:
    """A context that can hold back Ctrl-C and SIGTERM until an epoch is saved.

    A held signal goes to the handler that Python had before, on `release`; usually that raises KeyboardInterrupt. A
    second signal is not held back. Signals that Python does not handle are left alone, and outside the main thread,
    which receives all signals, nothing is held back.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, signal._HANDLER] = {}
        self._is_held = False
        self._pending: int | None = None

    def __enter__(self) -> "HeldSignals":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @property
    def pending(self) -> bool:
        """Whether a signal is held back."""
        return self._pending is not None

    def hold(self) -> None:
        """Hold back the next signal."""
        self._is_held = True

    def release(self) -> None:
        """Hold back no signal, and let the pending one through."""
        self._is_held = False
        pending = self._pending
        self._pending = None
        if pending is not None:
            signal.raise_signal(pending)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._is_held and self._pending is None:
            self._pending = number
            return
        handler = self._handlers[number]
        if callable(handler):
            handler(number, frame)
