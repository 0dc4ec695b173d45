"""The proof that a text is gone: each place is looked at after the deletion."""

from collections.abc import Iterable, Sequence

from cacheroute.errors import Unavailable
from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kdn.purge.journal import ENGINE
from cacheroute.kdn.purge.outcomes import Forgotten, Outcome, keys_of
from cacheroute.kdn.purge.places import StorePlace
from cacheroute.kdn.worker import Worker
from cacheroute.wire.documents import Proof
from knowledge.catalogue.library import Library
from knowledge.catalogue.remains import remains


class Prover:
    """Looks into the library, the artifacts and the places; `grace_s` as the purger has it."""

    def __init__(
        self, library: Library, worker: Worker, artifacts: Artifacts, stores: Iterable[StorePlace], grace_s: float
    ) -> None:
        self._library = library
        self._worker = worker
        self._artifacts = artifacts
        self._stores = {place.name: place for place in stores}
        self._grace_s = grace_s

    async def prove(self, kids: Sequence[str], forgotten: Forgotten) -> tuple[Proof, ...]:
        """What is left where, of kids that no document has any more. Places that could not be purged have no proof."""
        if not kids:
            return ()
        left = await self._worker.run(remains, self._library.shelf, kids)
        names = [artifact.id for artifact in forgotten.artifacts]
        blobs = await self._worker.run(self._artifacts.blobs_of, names) if names else 0
        proofs = [
            Proof(place="text", left=left.texts),
            Proof(place="vectors", left=left.vectors),
            Proof(place="search index", left=left.search_rows),
            Proof(place="blobs", left=blobs),
        ]
        keys = keys_of(forgotten.artifacts)
        for outcome in forgotten.outcomes:
            if not outcome.why and outcome.place in self._stores:
                proofs += await self._of_store(outcome, keys)
            elif not outcome.why and outcome.place.startswith(ENGINE):
                note = f"{outcome.cleared.dropped} chunks dropped, {self._once_more}"
                proofs.append(Proof(place=outcome.place, left=outcome.cleared.left, note=note))
        return tuple(proofs)

    async def _of_store(self, outcome: Outcome, keys: Sequence[str]) -> list[Proof]:
        try:
            left = await self._stores[outcome.place].left(keys)
        except Unavailable:  # it has gone since: the purge to come sees to it
            return []
        note = f"{outcome.cleared.dropped} chunks dropped, every one that no artifact vouches for; {self._once_more}"
        return [Proof(place=outcome.place, left=left, note=note)]

    @property
    def _once_more(self) -> str:
        return f"once more in {self._grace_s:g} s, for requests that had the text already"
