"""A KDN as a process of its own that kills itself at one step of a deletion, as a power cut would.

    python -m fakes.dying_kdn CONFIG.json STEP

STEP is `Class.method:before` or `:after`; the process dies at the first call of it after a deletion was asked for.
"""

import functools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from cacheroute import service
from cacheroute.config import Config
from cacheroute.kdn.app import planes
from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kdn.instances import InstanceClient
from cacheroute.kdn.library.registrar import Registrar
from cacheroute.kdn.purge.journal import PurgeJournal
from cacheroute.kvstore.store import KvStore
from knowledge.catalogue.library import Library
from knowledge.catalogue.shelf import Shelf

CLASSES = {each.__name__: each for each in (Artifacts, InstanceClient, KvStore, Library, PurgeJournal, Shelf)}
STEPS = (
    "PurgeJournal.plan:before",
    "PurgeJournal.plan:after",
    "Shelf.scrub:before",
    "Library.delete:after",
    "Artifacts.drop:before",
    "Artifacts.drop:after",
    "PurgeJournal.ask:before",
    "PurgeJournal.ask:after",
    "KvStore.sweep:before",
    "KvStore.sweep:after",
    "InstanceClient.reset_prefix_cache:before",
    "PurgeJournal.purged:before",
    "PurgeJournal.purged:after",
)
"""Those of a deletion, in the order in which it comes to them."""


def arm(step: str) -> None:
    """Makes the process kill itself at `step`, from the next deletion on."""
    name, _, moment = step.partition(":")
    of, _, method = name.partition(".")
    asked: list[bool] = []

    def die() -> None:
        if asked:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(original: Any) -> Any:
        @functools.wraps(original)
        def blocking(*args: Any, **kwargs: Any) -> Any:
            if moment == "before":
                die()
            result = original(*args, **kwargs)
            if moment == "after" and not hasattr(result, "__await__"):
                die()
            return _then_die(result) if hasattr(result, "__await__") else result

        async def _then_die(work: Any) -> Any:
            result = await work
            if moment == "after":
                die()
            return result

        return blocking

    setattr(CLASSES[of], method, around(getattr(CLASSES[of], method)))
    delete = Registrar.delete

    async def armed(self: Registrar, source: str, collection: str | None) -> Any:
        asked.append(True)
        return await delete(self, source, collection)

    Registrar.delete = armed


if __name__ == "__main__":
    config = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Config)
    arm(sys.argv[2])
    service.run("kdn-1", lambda: planes(config, "kdn-1"))
