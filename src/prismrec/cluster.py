"""Workers on a Ray cluster, or on the cores of this machine if there is none."""

import os
import signal
import threading
from collections.abc import Callable
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Generic, TypeVar

from prismrec.errors import ParameterError

Task = TypeVar("Task")
Result = TypeVar("Result")


class LostWorkerError(RuntimeError):
    """The process of a worker ended before its task, for example because memory ran out."""


def check_ray() -> None:
    """Refuse to go on without Ray.

    Raises:
        ParameterError: Ray is not installed.
    """
    if find_spec("ray") is None:
        raise ParameterError("engine", "'ray', which is not installed", "pip install 'prismrec[ray]'")


class RayWorkers(Generic[Task, Result]):
    """Processes that each hold a copy of one function and call it with one task at a time; a context.

    A Ray instance that the program has not started before is shut down at the end.
    """

    def __init__(self, work: Callable[[Task], Result], most: int | None = None, *, gpus: bool = False) -> None:
        """Describe the workers.

        Args:
            work: sent to each worker once, with everything that it holds.
            most: the largest number of workers; None means one per core, or per GPU.
            gpus: whether each worker needs a GPU, if the cluster has any.

        Raises:
            ParameterError: Ray is not installed.
        """
        check_ray()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self._ray = ray
        self._work = work
        self._most = most
        self._gpus = gpus
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Task]] = {}  # reference to the result → worker and task
        self._started = False

    def __enter__(self) -> "RayWorkers[Task, Result]":
        ray = self._ray
        self._started = not ray.is_initialized()
        if self._started:
            self._start()
        resources = ray.cluster_resources()
        self._gpus = self._gpus and resources.get("GPU", 0) >= 1
        self._room = int(resources.get("GPU" if self._gpus else "CPU", 1))
        self._room = self._room if self._most is None else min(self._room, self._most)
        self._shared = ray.put(self._work)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in [*self._idle, *[worker for worker, _ in self._busy.values()]]:
            self._ray.kill(worker)
        if self._started:
            self._ray.shutdown()

    def _start(self) -> None:
        """Connect to the cluster that RAY_ADDRESS names, or start Ray on this machine."""
        handler = signal.getsignal(signal.SIGTERM)
        if os.environ.get("RAY_ADDRESS"):
            self._ray.init(log_to_driver=False)
        else:
            self._ray.init(include_dashboard=False, log_to_driver=False)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # that of Ray ends the process without any clean-up

    @property
    def busy(self) -> int:
        """The number of tasks that have begun and not ended."""
        return len(self._busy)

    @property
    def free(self) -> bool:
        """Whether a worker has nothing to do."""
        return len(self._busy) < self._room

    def start(self, task: Task) -> None:
        """Give a task to a free worker."""
        worker = self._idle.pop() if self._idle else self._new_worker()
        self._busy[worker.call.remote(task)] = worker, task

    def wait(self, seconds: float | None = None) -> tuple[Task, Result | LostWorkerError] | None:
        """Wait until a task has ended; None if none ends in this time.

        Raises:
            Exception: what the function has raised.
        """
        done, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=seconds)
        if not done:
            return None
        worker, task = self._busy.pop(done[0])
        try:
            result = self._ray.get(done[0])
        except self._ray.exceptions.RayActorError as error:
            return task, LostWorkerError(str(error).strip().partition("\n")[0])
        except self._ray.exceptions.RayTaskError as error:
            self._idle.append(worker)
            raise error.cause from error
        self._idle.append(worker)
        return task, result

    def _new_worker(self) -> Any:
        on_cluster: Any = self._ray.remote(num_cpus=1, num_gpus=int(self._gpus))(_Worker)
        return on_cluster.remote(self._shared)


class _Worker:
    """A process with one thread of PyTorch."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        import torch

        torch.set_num_threads(1)
        self._work = work

    def call(self, task: Any) -> Any:
        """The result of a task."""
        return self._work(task)
