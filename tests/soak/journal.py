"""What a soak did: its seed, how often which operation ended how, the last operations, and what was logged."""

import logging
import random
import time
from collections import Counter, deque
from collections.abc import Generator
from contextlib import contextmanager

LAST = 80


class Journal:
    """One a soak. `log` collects the failures that this process logs."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.done = Counter[tuple[str, str]]()
        self.notes: list[str] = []
        self.log = _Failures()
        self.last = deque[str](maxlen=LAST)
        self._began_s = time.monotonic()

    def rng(self, *names: object) -> random.Random:
        """The choices of one worker in one round: the same for the same seed."""
        return random.Random(":".join(map(str, (self.seed, *names))))

    @contextmanager
    def operation(self, who: object, what: str, about: str = "") -> Generator["Outcome"]:
        """Counts and remembers one operation by the `Outcome` that it has in the end."""
        outcome, start_s = Outcome(), time.monotonic()
        self._note(f"{who} {what} {about} ...")
        try:
            yield outcome
        except BaseException as error:
            outcome.text = type(error).__name__
            raise
        finally:
            self.done[what, outcome.text] += 1
            self._note(f"{who} {what} {about} -> {outcome.text} after {1000 * (time.monotonic() - start_s):.0f} ms")

    @property
    def summary(self) -> str:
        counts = [f"{what} {how}: {count}" for (what, how), count in sorted(self.done.items())]
        return "\n".join([f"SOAK_SEED={self.seed}: {self.done.total()} operations", "; ".join(counts), *self.notes])

    def _note(self, line: str) -> None:
        self.last.append(f"{time.monotonic() - self._began_s:9.3f} s {line}")


class Outcome:
    """How an operation ended, in a word or two."""

    text = "ok"


class _Failures(logging.Handler):
    """Errors, and whatever comes with a traceback."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.lines.append(self.format(record))
