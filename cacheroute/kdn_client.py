"""A KDN as a client sees it: documents, blocks, artifacts, builds, and what it tells of itself."""

from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any
from urllib.parse import quote

import httpx

from cacheroute.role_client import Role
from cacheroute.wire.artifacts import (
    Advice,
    ArtifactInfo,
    Build,
    BuildRequest,
    BuildResult,
    Cancelled,
    Pin,
    QueueBuilds,
    Queued,
    Verdict,
)
from cacheroute.wire.documents import (
    AddDocument,
    AddedDocument,
    BlockInfo,
    DeletedDocument,
    DocumentInfo,
    ImportReport,
    SyncReport,
    SyncRequest,
)
from cacheroute.wire.page import Page

REGISTER_TIMEOUT_S = 120.0
"""A document of a hundred pages is a minute's work for an embedder without a GPU."""
PIECE_TIMEOUT_S = 120.0
"""Of an export: for the next piece."""
IMPORT_TIMEOUT_S = 1800.0
"""For a piece to be taken: where a file's vectors are not of this stack's model, its texts are embedded anew."""
SYNC_TIMEOUT_S = 600.0
DELETE_TIMEOUT_S = 60.0


class Kdn(Role):
    """One KDN's knowledge and artifacts."""

    def __init__(self, http: httpx.AsyncClient, name: str, url: str, token: str, build_timeout_s: float) -> None:
        super().__init__(http, name, url, token)
        self._build_timeout_s = build_timeout_s

    async def add(self, document: AddDocument) -> AddedDocument:
        return await self.post("/v1/documents", document, AddedDocument, REGISTER_TIMEOUT_S)

    async def documents(self, **which: str) -> tuple[DocumentInfo, ...]:
        """Every document, or those of a `source` or a `collection`."""
        return await self.pages("/v1/documents", Page[DocumentInfo], which)

    async def blocks(self, **which: str) -> tuple[BlockInfo, ...]:
        """Every block without its text, or those of a `source`, a `collection`, or whose kid begins with `kid`."""
        return await self.pages("/v1/blocks", Page[BlockInfo], which)

    async def block(self, kid: str) -> BlockInfo:
        """One block, with its text."""
        return await self.get(f"/v1/blocks/{quote(kid, safe='')}", BlockInfo)

    async def forget(self, source: str, collection: str) -> DeletedDocument:
        """Deletes a document for good: text, vectors, artifacts, and what engines and kv stores hold of it."""
        which = {"source": source, "collection": collection}
        return await self.delete("/v1/documents", DeletedDocument, DELETE_TIMEOUT_S, **which)

    def export(self, collection: str | None) -> AsyncGenerator[bytes]:
        """The library as one file, piece by piece."""
        return self.download("/v1/export", {"collection": collection} if collection else {}, PIECE_TIMEOUT_S)

    async def take_in(self, pieces: AsyncIterable[bytes]) -> ImportReport:
        """Registers what an export holds."""
        return await self.upload("/v1/import", pieces, ImportReport, IMPORT_TIMEOUT_S)

    async def sync(self, origin: str) -> SyncReport:
        """Takes over what the KDN `origin` has newer."""
        return await self.post("/v1/sync", SyncRequest(origin=origin), SyncReport, SYNC_TIMEOUT_S)

    async def status(self) -> dict[str, Any]:
        return await self.get("/debug/status", dict[str, Any])

    async def artifacts(self, **which: str) -> tuple[ArtifactInfo, ...]:
        """Every artifact, or those that hold a whole `kid`, or of a `fingerprint`."""
        return await self.pages("/v1/artifacts", Page[ArtifactInfo], which)

    async def build(self, kids: tuple[str, ...]) -> tuple[BuildResult, ...]:
        """Builds now, and waits for it."""
        return await self.post("/v1/artifacts", BuildRequest(kids=kids), tuple[BuildResult, ...], self._build_timeout_s)

    async def queue_builds(self, builds: QueueBuilds) -> Queued:
        """Has sets of kids built when no live request wants the engine."""
        return await self.post("/v1/builds", builds, Queued)

    async def builds(self, **which: str) -> tuple[Build, ...]:
        """The queue, or what is in one `state` of it."""
        return await self.pages("/v1/builds", Page[Build], which)

    async def cancel_builds(self) -> Cancelled:
        """Takes everything out of the queue that has not begun."""
        return await self.delete("/v1/builds", Cancelled)

    async def advice(self, limit: int) -> tuple[Advice, ...]:
        """What to build next, best first."""
        return await self.get("/v1/advice", tuple[Advice, ...], limit=limit)

    async def pin(self, artifact_id: str, *, pinned: bool) -> ArtifactInfo:
        return await self.post(f"/v1/artifacts/{artifact_id}/pin", Pin(pinned=pinned), ArtifactInfo)

    async def verify(self, artifact_id: str) -> Verdict:
        """Reads an artifact whole and checks it."""
        return await self.post(f"/v1/artifacts/{artifact_id}/verify", {}, Verdict, self._build_timeout_s)

    async def evict(self, artifact_id: str) -> dict[str, Any]:
        """Drops an artifact, and its chunks from the kv stores; its text stays."""
        return await self.delete(f"/v1/artifacts/{artifact_id}", dict[str, Any], DELETE_TIMEOUT_S)
