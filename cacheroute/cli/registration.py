"""`cacheroute knowledge add` and `delete`: documents into a KDN, and out of it for good."""

import asyncio
import sys
from collections.abc import Sequence

import typer

from cacheroute.cli.documents import read
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.selection import chosen_kdn, find_blocks
from cacheroute.errors import BadRequest
from cacheroute.kdn_client import Kdn
from cacheroute.sanitise import for_line
from cacheroute.wire.documents import AddDocument, AddedDocument, BlockInfo, DeletedDocument
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


def delete(invocation: Invocation, what: str, yes: bool, kdn: str | None) -> None:
    """Asks first, unless told not to. Raises NotFound, BadRequest; typer.Abort where the answer is no."""

    async def found() -> BlockInfo:
        async with invocation.client() as client:
            return find_blocks(await chosen_kdn(client, kdn).blocks(), what)[0]

    block = asyncio.run(found())
    if not yes:
        if invocation.out.as_json or not sys.stdin.isatty():
            raise BadRequest(f"deleting {block.source} is for good: say --yes")
        name = for_line(f"{block.title} ({block.source}, collection {block.collection})")
        typer.confirm(f"Delete {name}, its vectors and its KV for good?", abort=True)

    async def deleted() -> DeletedDocument:
        async with invocation.client() as client:
            return await chosen_kdn(client, kdn).forget(block.source, block.collection)

    done = asyncio.run(deleted())
    invocation.out.result(done)
    gone = f"{len(done.kids)} blocks, {len(done.artifacts)} artifacts, {sum(done.purged.values())} chunks in kv stores"
    invocation.out.say(f"Deleted {done.source}: {gone}.")
    for note in done.notes:
        invocation.out.note(note)


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
