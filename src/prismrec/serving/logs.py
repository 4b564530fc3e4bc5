"""Logs as one JSON object per line, and metrics for Prometheus.

Neither contains ids of users or items, queries or bodies: a line names the route, not the path.
"""

import json
import os
import sys
import time
import traceback
from functools import lru_cache

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Set if several worker processes count together."""
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_REQUESTS = Counter("prismrec_requests", "Answered requests.", ["route", "status"])
_SECONDS = Histogram("prismrec_request_seconds", "Time to answer.", ["route"], buckets=_BUCKETS)
_LISTS = Counter("prismrec_lists", "Ranked lists in answers.")
_SWAPS = Counter("prismrec_swaps", "New runs found while serving, per worker.", ["outcome"])


def log(event: str, **fields: object) -> None:
    """Write one line to standard error."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, "pid": os.getpid(), **fields}
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()


def log_error(error: BaseException, route: str) -> None:
    """Log where an unexpected error came from, without its message, which may contain ids."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    log("error", level="error", route=route, type=type(error).__name__, trace=places[-20:])


@lru_cache(maxsize=1000)
def _requests(route: str, status: int) -> Counter:
    return _REQUESTS.labels(route, str(status))


@lru_cache(maxsize=1000)
def _seconds(route: str) -> Histogram:
    return _SECONDS.labels(route)


def count_request(route: str, status: int, seconds: float) -> None:
    """Count an answered request."""
    _requests(route, status).inc()
    _seconds(route).observe(seconds)


def count_lists(number: int) -> None:
    """Count ranked lists."""
    _LISTS.inc(number)


def count_swap(outcome: str) -> None:
    """Count a new run that was taken ("swapped") or refused ("refused")."""
    _SWAPS.labels(outcome).inc()


def metrics_text() -> tuple[bytes, str]:
    """All metrics in the format of Prometheus, and its media type."""
    registry = REGISTRY
    if os.environ.get(_SHARED_FOLDER):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return generate_latest(registry), CONTENT_TYPE_LATEST
