"""`cacheroute knowledge add`: documents into a KDN."""

import asyncio
from collections.abc import Sequence

from cacheroute.cli.documents import read
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.selection import chosen_kdn
from cacheroute.errors import BadRequest
from cacheroute.kdn_client import Kdn
from cacheroute.wire.documents import AddDocument, AddedDocument
from knowledge.document import Document


def add(
    invocation: Invocation, path: Sequence[str], collection: str, title: str | None, source: str | None, kdn: str | None
) -> int | None:
    """Adds what can be read, names what cannot; returns 1 if there was any of that."""
    if len(path) > 1 and (title or source):
        raise BadRequest("--title and --source are for a single document")
    documents, failures = read(path, collection, title, source)
    if (title or source) and len(documents) > 1:
        raise BadRequest("--title and --source are for a single document")

    async def registered() -> list[AddedDocument]:
        async with invocation.client() as client:
            return await register(chosen_kdn(client, kdn), documents)

    added = asyncio.run(registered()) if documents else []
    for document in added:
        blocks = "1 block" if len(document.kids) == 1 else f"{len(document.kids)} blocks"
        invocation.out.say(f"{document.status:<9} {document.title} ({blocks}) {' '.join(document.notes)}".rstrip())
    if not failures:
        invocation.out.result({"documents": added, "failures": failures})
        return None
    for failure in failures if not invocation.out.as_json else ():
        invocation.out.error([failure], kind="invalid_request_error", code="bad_document")
    invocation.out.result(
        {
            "documents": added,
            "failures": failures,
            "error": {"message": "\n".join(failures), "type": "invalid_request_error", "code": "bad_document"},
        }
    )
    return 1


async def register(kdn: Kdn, documents: Sequence[Document]) -> list[AddedDocument]:
    """Adds each at `kdn`; one that is there already, word for word, stays as it is."""
    return [
        await kdn.add(
            AddDocument(
                source=document.source,
                title=document.title,
                text=document.text,
                version=document.version,
                collection=document.collection,
                tags=document.tags,
            )
        )
        for document in documents
    ]
