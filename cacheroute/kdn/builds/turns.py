"""Which queued build goes next, on which instance, and what the others wait for. Does nothing itself.

Builds go in the order in which they came, each for every live fingerprint that it is meant for, on an instance that
serves nobody. One that has waited long enough goes all the same, so that constant load does not keep KV away for ever.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from cacheroute.kdn.builds.table import Kept
from cacheroute.kdn.instances import why_not
from cacheroute.wire.artifacts import Build
from cacheroute.wire.control import InstanceRecord

RETRY_S = (5.0, 25.0)
"""After the first vain try, and after the second; the third is the last."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a build ended for one fingerprint."""

    state: Literal["built", "present", "failed"]
    why: str = ""


@dataclass(slots=True, eq=False)
class Entry:
    """A queued build. `since_s`: when it came; `not_before_s`: when it is tried again (both on the turns' clock)."""

    build: Build
    tries: int
    since_s: float
    not_before_s: float = 0.0
    outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    """Of each fingerprint that is done with."""

    @property
    def kept(self) -> Kept:
        return Kept(self.build, self.tries)

    def wants(self, fingerprint: str) -> bool:
        return self.build.fingerprint in ("", fingerprint) and fingerprint not in self.outcomes

    def ended(self) -> Build:
        """The build as it is over, by its outcomes."""
        failed = [outcome.why for outcome in self.outcomes.values() if outcome.state == "failed"]
        built = any(outcome.state == "built" for outcome in self.outcomes.values())
        state = "failed" if failed else "built" if built else "present"
        return msgspec.structs.replace(self.build, state=state, why="; ".join(failed))


class BuildTurns:
    """The queued builds by id, in the order of their turn. `targets` are the instances to build on, by fingerprint."""

    def __init__(self, wait_s: float, clock: Callable[[], float]) -> None:
        self._wait_s = wait_s
        self._clock = clock
        self._entries: dict[int, Entry] = {}
        self._busy_since_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def get(self, build_id: int) -> Entry | None:
        return self._entries.get(build_id)

    def add(self, kept: Kept) -> None:
        self._entries[kept.build.id] = Entry(kept.build, kept.tries, since_s=self._clock())

    def remove(self, build_id: int) -> None:
        self._entries.pop(build_id, None)

    def next(self, targets: Mapping[str, InstanceRecord]) -> tuple[Entry, InstanceRecord] | None:
        """What to build now, and where; None: nothing can begin yet."""
        now_s = self._clock()
        self._note_busy(targets, now_s)
        open_since_s = {fingerprint: self._open_since_s(fingerprint, now_s) for fingerprint in targets}
        if all(since_s is None for since_s in open_since_s.values()):
            return None
        for entry in self._entries.values():
            if entry.not_before_s > now_s:
                continue
            for fingerprint, since_s in open_since_s.items():
                if since_s is not None and entry.wants(fingerprint) and entry.since_s <= since_s:
                    self._busy_since_s.pop(fingerprint, None)
                    return entry, targets[fingerprint]
        return None

    def over(self, targets: Mapping[str, InstanceRecord]) -> Entry | None:
        """One that is done with for every fingerprint that is live."""
        for entry in self._entries.values():
            if entry.outcomes and not any(entry.wants(fingerprint) for fingerprint in targets):
                return entry
        return None

    def failed(self, entry: Entry, why: str) -> bool:
        """Counts a vain try; whether there is another."""
        entry.tries += 1
        if entry.tries > len(RETRY_S):
            return False
        entry.not_before_s = self._clock() + RETRY_S[entry.tries - 1]
        entry.build = msgspec.structs.replace(entry.build, why=why)
        return True

    def why(
        self,
        entry: Entry,
        targets: Mapping[str, InstanceRecord],
        instances: Sequence[InstanceRecord],
        stores: Collection[str],
    ) -> str:
        """What a queued build waits for; empty: for its turn."""
        left_s = entry.not_before_s - self._clock()
        if left_s > 0:
            return f"try {entry.tries} failed: {entry.build.why}; the next is in {left_s:.0f} s"
        wanted = [each for fingerprint, each in targets.items() if entry.wants(fingerprint)]
        if not wanted:
            with_it = f" with fingerprint {entry.build.fingerprint}" if entry.build.fingerprint else ""
            reasons = [f"; {each.name}: {why}" for each in instances if (why := why_not(each, stores))]
            return f"no live instance{with_it} can build KV{''.join(reasons)}"
        if all(each.load.inflight for each in wanted):
            busy = ", ".join(f"{each.name} serves {each.load.inflight}" for each in wanted)
            return f"{busy}: it waits until that is done, {self._wait_s:g} s at most"
        return ""

    def _note_busy(self, targets: Mapping[str, InstanceRecord], now_s: float) -> None:
        for fingerprint, instance in targets.items():
            if instance.load.inflight:
                self._busy_since_s.setdefault(fingerprint, now_s)
            else:
                self._busy_since_s.pop(fingerprint, None)

    def _open_since_s(self, fingerprint: str, now_s: float) -> float | None:
        """Builds that came no later may begin there; None: none may."""
        busy_since_s = self._busy_since_s.get(fingerprint)
        if busy_since_s is None:
            return now_s
        longest_ago_s = now_s - self._wait_s
        return longest_ago_s if busy_since_s <= longest_ago_s else None
