"""Hot swap: a new run behind the path that is served replaces the old one between two requests.

Each worker process looks at the path by itself. Point a symbolic link to a new run directory to serve that run.
"""

import asyncio
import gc
import os
from dataclasses import dataclass
from pathlib import Path

from prismrec.errors import InputError
from prismrec.serving.logs import count_swap, log
from prismrec.serving.served import ServedRun, load_served
from prismrec.serving.settings import ServerSettings

_State = tuple[str, tuple[tuple[str, int, int, int], ...]]


@dataclass(frozen=True)
class Refused:
    """A new run that is not served.

    Attributes:
        folder: where it is.
        reason: what is wrong.
    """

    folder: str
    reason: str


class Current:
    """The run that is served now.

    Attributes:
        served: answers requests that begin now.
        refused: the run behind the path, if it cannot be served.
    """

    def __init__(self, settings: ServerSettings) -> None:
        """Load the first run.

        Raises:
            InputError: it cannot be served.
        """
        self._settings = settings
        self._state = _look(settings.run)
        self.served: ServedRun = load_served(Path(self._state[0]), settings)
        self.refused: Refused | None = None

    async def watch(self, seconds: float) -> None:
        """Look for a new run again and again, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Serve the run behind the path, if it is another one and can be served."""
        state = _look(self._settings.run)
        if state == self._state:
            return
        self._state = state
        try:
            served = load_served(Path(state[0]), self._settings, self.served)  # the link may change meanwhile
        except Exception as error:  # the old run goes on, even after an unforeseen error
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            self.refused = Refused(state[0], reason)
            count_swap("refused")
            log("swap refused", level="error", run=self.served.name, reason=reason)
            return
        before = self.served
        self.served = served
        self.refused = None
        count_swap("swapped")
        log("swapped", run=served.name, before=before.name)
        del before
        is_frozen = gc.get_freeze_count() > 0
        gc.unfreeze()
        gc.collect()  # runs contain cycles; the old one ends with its last request
        if is_frozen:
            gc.freeze()


def _look(path: Path) -> _State:
    """What is behind a path: the folder, and size, time and inode of its files."""
    folder = os.path.realpath(path)  # Path.resolve raises for a link to itself
    files = []
    try:
        for entry in sorted(os.scandir(folder), key=lambda each: each.name):
            if entry.name.startswith("."):  # the next run is trained in a hidden folder
                continue
            status = entry.stat()
            files.append((entry.name, status.st_size, status.st_mtime_ns, status.st_ino))
    except OSError:  # nothing there, or changing at this moment: seen as another state at the next look
        return (folder, ())
    return (folder, tuple(files))
