"""What a process holds, round by round: tasks, threads, open files, memory. After a warm-up none of it may grow."""

import asyncio
import gc
from collections import Counter
from dataclasses import dataclass

import psutil

MB = 2**20
ROUNDS_TO_WARM_UP = 3
MORE = {"tasks": 60, "threads": 40, "files": 80, "rss_mb": 96}
"""Than the most of the warm-up: pools of connections and of threads breathe. One left behind by each operation or
by each request of a round is far more."""


@dataclass(frozen=True)
class Footprint:
    tasks: int
    threads: int
    files: int
    rss_mb: int
    of: Counter[str]
    """Tasks by what they run."""

    @classmethod
    def now(cls) -> "Footprint":
        gc.collect()
        process, tasks = psutil.Process(), asyncio.all_tasks()
        return cls(
            tasks=len(tasks),
            threads=process.num_threads(),
            files=process.num_fds(),
            rss_mb=process.memory_info().rss // MB,
            of=Counter(task.get_coro().__qualname__ for task in tasks),  # type: ignore[union-attr]
        )

    def __str__(self) -> str:
        return f"{self.tasks} tasks, {self.threads} threads, {self.files} files, {self.rss_mb} MB"


def grown(rounds: list[Footprint], *, rss_mb: int = MORE["rss_mb"]) -> list[str]:
    """What has grown, after the first third of the rounds and at least three, by more than it may; in words."""
    may = {**MORE, "rss_mb": rss_mb}
    warm = max(ROUNDS_TO_WARM_UP, len(rounds) // 3)
    early, late = rounds[:warm], rounds[warm:]
    if not late:
        return []
    most = {name: max(getattr(each, name) for each in early) for name in MORE}
    last = {name: min(getattr(each, name) for each in late[-ROUNDS_TO_WARM_UP:]) for name in MORE}
    return [
        f"{name}: from {most[name]} to {last[name]}; tasks by kind: {late[-1].of.most_common(8)}"
        for name, more in may.items()
        if last[name] > most[name] + more
    ]
