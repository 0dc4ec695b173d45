"""`cacheroute knowledge delete` and `evict`: a document out for good, or only its KV."""

import asyncio
import sys
from collections.abc import Sequence

import typer

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.output import Output
from cacheroute.cli.selection import chosen_kdns, find_artifacts, where_it_is
from cacheroute.errors import BadRequest, NotFound
from cacheroute.sanitise import for_line
from cacheroute.wire.artifacts import ArtifactInfo
from cacheroute.wire.documents import DeletedDocument, DocumentInfo


def delete(invocation: Invocation, what: str, yes: bool, kdn: str | None) -> None:
    """At every KDN that has it, unless one is named. Asks first, unless told not to.

    Raises NotFound, BadRequest; typer.Abort where the answer is no.
    """

    async def found() -> dict[str, DocumentInfo]:
        async with invocation.client() as client:
            return {role.name: document for role, document in await where_it_is(chosen_kdns(client, kdn), what)}

    documents = asyncio.run(found())
    document = next(iter(documents.values()))
    at = ", ".join(documents)
    name = for_line(f"{document.title} ({document.source}, collection {document.collection})")
    _confirm(invocation.out, yes, f"Delete {name} at {at}, its vectors and its KV for good?", document.source)

    async def deleted() -> dict[str, DeletedDocument]:
        async with invocation.client() as client:
            return {
                name: await client.kdns[name].forget(each.source, each.collection) for name, each in documents.items()
            }

    done = asyncio.run(deleted())
    out = invocation.out
    out.result({"kdns": done})
    for name, gone in done.items():
        chunks = sum(gone.purged.values())
        out.say(f"{name}: deleted {gone.source}: {len(gone.kids)} blocks, {len(gone.artifacts)} artifacts, "
                f"{chunks} chunks in kv stores.")  # fmt: skip
        _say_proof(out, gone)


def evict(invocation: Invocation, what: str, yes: bool, kdn: str | None) -> None:
    """Raises NotFound where there is no KV, BadRequest where nobody can be asked."""

    async def found() -> dict[str, tuple[ArtifactInfo, ...]]:
        async with invocation.client() as client:
            held: dict[str, tuple[ArtifactInfo, ...]] = {}
            for role in chosen_kdns(client, kdn):
                try:
                    held[role.name] = await find_artifacts(role, what)
                except NotFound:
                    continue
            if not held:
                raise NotFound(f"{what!r} has no KV anywhere; `cacheroute knowledge list` shows what has")
            return held

    held = asyncio.run(found())
    artifacts = [artifact for each in held.values() for artifact in each]
    total_mb = sum(artifact.nbytes for artifact in artifacts) / 2**20
    _confirm(invocation.out, yes, f"Drop {len(artifacts)} artifacts ({total_mb:.0f} MB)? The text stays.", what)

    async def dropped() -> None:
        async with invocation.client() as client:
            for name, each in held.items():
                for artifact in each:
                    await client.kdns[name].evict(artifact.id)

    asyncio.run(dropped())
    invocation.out.result({"evicted": held})
    invocation.out.say(f"Dropped {len(artifacts)} artifacts, {total_mb:.0f} MB.")


def _confirm(out: Output, yes: bool, question: str, what: str) -> None:
    if yes:
        return
    if out.as_json or not sys.stdin.isatty():
        raise BadRequest(f"{for_line(what)}: this destroys something and nobody can be asked: say --yes")
    typer.confirm(question, abort=True)


def _say_proof(out: Output, gone: DeletedDocument) -> None:
    left: Sequence[str] = [f"{proof.place}: {proof.left} left" for proof in gone.proof if proof.left]
    looked = ", ".join(proof.place for proof in gone.proof if not proof.left)
    if looked:
        out.say(f"Looked again, nothing left in: {looked}.")
    for line in left:
        out.note(f"NOT GONE: {line}")
    for place in gone.pending:
        out.note(f"cannot be reached now, purged as soon as it can be: {place}")
    for note in gone.notes:
        out.note(note)
