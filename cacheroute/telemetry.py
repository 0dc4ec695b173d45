"""What each role measures and logs: request ids, log lines, and a metrics registry of its own (no globals)."""

import logging
import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cacheroute import sanitise

MS_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000)


def new_request_id() -> str:
    """128 random bits, as 32 hex digits."""
    return secrets.token_hex(16)


def log_to_stderr(role: str, level: str = "INFO") -> None:
    """One line a record on stderr, where the supervisor collects it."""
    logging.basicConfig(level=level, format=f"%(asctime)s %(levelname)s {role} %(name)s: %(message)s", force=True)
    logging.getLogger("aiohttp.access").setLevel("WARNING")
    logging.getLogger("aiohttp.server").addFilter(as_a_line)


def as_a_line(record: logging.LogRecord) -> bool:
    """A request that is no HTTP is its sender's mistake: one line, and no traceback as of a mistake of ours."""
    from aiohttp import http_exceptions, web  # here, not above: whoever only logs must not pay for it

    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, http_exceptions.HttpProcessingError | web.RequestPayloadError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "a request that cannot be read: %s", (sanitise.for_line(str(error), 200),)
        record.exc_info = None
    return True


class Metrics:
    """One role's counters. Served at `/metrics` by `service`."""

    def __init__(self, role: str) -> None:
        self.registry = CollectorRegistry()
        self._role = role

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"cacheroute_{self._role}_{name}", text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"cacheroute_{self._role}_{name}", text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"cacheroute_{self._role}_{name}", text, labels, registry=self.registry, buckets=MS_BUCKETS)


class Stopwatch:
    """Collects named parts of one request's time, in ms, on the monotonic clock."""

    def __init__(self) -> None:
        self.started_s = time.perf_counter()
        self.parts_ms: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Generator[None]:
        start_s = time.perf_counter()
        try:
            yield
        finally:
            self.mark(name, (time.perf_counter() - start_s) * 1000)

    def mark(self, name: str, ms: float) -> None:
        self.parts_ms[name] = round(self.parts_ms.get(name, 0.0) + ms, 3)

    @property
    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started_s) * 1000
