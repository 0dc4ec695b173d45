"""What came of purging: place by place, and of all that went with a text."""

from collections.abc import Iterable
from dataclasses import dataclass

from cacheroute.kdn.purge.journal import STORE
from cacheroute.kdn.purge.places import NOTHING, Cleared
from cacheroute.wire.artifacts import Artifact


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of purging a place: `why` it could not be done now, or what was `cleared`."""

    place: str
    cleared: Cleared = NOTHING
    why: str = ""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What went: artifacts, and what came of each place. Nothing where every text is in another document too."""

    artifacts: tuple[Artifact, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    closed: tuple[str, ...] = ()
    """Instances with engines of another kind: what these cache by themselves, nobody can empty from here."""

    @property
    def purged(self) -> dict[str, int]:
        """Chunks taken out, by kv store."""
        stores = (each for each in self.outcomes if each.place.startswith(STORE) and not each.why)
        return {each.place.removeprefix(STORE): each.cleared.dropped for each in stores}

    @property
    def pending(self) -> tuple[str, ...]:
        """Places that are written down, to be purged as soon as they can be."""
        return tuple(each.place for each in self.outcomes if each.why)

    @property
    def notes(self) -> tuple[str, ...]:
        return (
            *(f"{each.place} is not purged yet: {each.why}" for each in self.outcomes if each.why),
            *(f"{name}: what its engine caches by itself cannot be emptied from here" for name in self.closed),
        )


@dataclass(frozen=True, slots=True)
class Dropped:
    """Chunks taken out by kv store, and which stores could not be asked."""

    purged: dict[str, int]
    notes: tuple[str, ...]


def keys_of(artifacts: Iterable[Artifact]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for artifact in artifacts for key in artifact.keys))
