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
    """`is_alone`: no other KDN may have an older version of anything."""

    def __init__(
        self,
        documents: Documents,
        purger: Purger,
        prover: Prover,
        builds: BuildQueue,
        unbroken: Unbroken,
        instances: Callable[[], Sequence[InstanceRecord]],
        *,
        is_alone: bool,
    ) -> None:
        self._documents = documents
        self._purger = purger
        self._prover = prover
        self._builds = builds
        self._unbroken = unbroken
        self._instances = instances
        self._is_alone = is_alone

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
        if registered.status == "unchanged" and not self._is_alone:
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
            notes=forgotten.notes,
        )
