"""Documents into one KDN and out of it, with all that follows: KV of texts that are gone goes too, everywhere.

Whatever has begun is done whole, even if whoever asked for it leaves.
"""

from collections.abc import Callable, Sequence

from cacheroute.kdn.builds.queue import BuildQueue
from cacheroute.kdn.library.documents import Documents, Prepared
from cacheroute.kdn.purge.proof import Prover
from cacheroute.kdn.purge.purger import Purger
from cacheroute.kdn.unbroken import Unbroken
from cacheroute.wire.control import InstanceRecord
from cacheroute.wire.documents import AddedDocument, DeletedDocument


class Registrar:
    """`others`: the KDNs that may have another version of anything; `sync_every_s`: how often they ask here."""

    def __init__(
        self,
        documents: Documents,
        purger: Purger,
        prover: Prover,
        builds: BuildQueue,
        unbroken: Unbroken,
        instances: Callable[[], Sequence[InstanceRecord]],
        others: Sequence[str],
        sync_every_s: float,
    ) -> None:
        self._documents = documents
        self._purger = purger
        self._prover = prover
        self._builds = builds
        self._unbroken = unbroken
        self._instances = instances
        self._others = others
        self._sync_every_s = sync_every_s

    async def register(self, prepared: Prepared) -> AddedDocument:
        """Takes a document in, and purges what only its old version had."""
        return await self._unbroken.run(self._register(prepared))

    async def delete(self, source: str, collection: str | None) -> DeletedDocument:
        """Removes a document, and purges what only it had. Raises NotFound, BadRequest."""
        return await self._unbroken.run(self._delete(source, collection))

    async def _register(self, prepared: Prepared) -> AddedDocument:
        async with self._purger.planned() as plan:
            added, registered = await self._documents.register(prepared, self._instances())
            await plan.forget(registered.orphaned)
        await self._builds.forget(registered.orphaned)
        if registered.status == "unchanged" and self._others:
            await self._documents.freshen(registered.document_id)
        return added

    async def _delete(self, source: str, collection: str | None) -> DeletedDocument:
        async with self._purger.planned() as plan:
            collection, deletion = await self._documents.delete(source, collection)
            forgotten = await plan.carry_out(deletion.orphaned)
        await self._builds.forget(deletion.orphaned)
        return DeletedDocument(
            source=source,
            collection=collection,
            kids=deletion.removed,
            artifacts=tuple(artifact.id for artifact in forgotten.artifacts),
            purged=forgotten.purged,
            proof=await self._prover.prove(deletion.orphaned, forgotten),
            pending=forgotten.pending,
            notes=(*forgotten.notes, *self._elsewhere()),
        )

    def _elsewhere(self) -> tuple[str, ...]:
        """What the proof does not cover. No request is given the text any more, wherever it still lies."""
        if not self._others:
            return ()
        when = f"within {self._sync_every_s:g} s" if self._sync_every_s else "with the next `cacheroute kdn sync`"
        return (f"{', '.join(self._others)}: deleted there {when}, unless it was deleted there too",)
