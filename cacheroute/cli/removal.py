"""`cacheroute knowledge delete` and `evict`: a document out for good, or only its KV."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import typer

from cacheroute.cli.artifacts import no_kv
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.output import Output
from cacheroute.cli.selection import chosen_kdns, find_artifacts, find_document, of_each
from cacheroute.cli.words import counted
from cacheroute.errors import BadRequest, CacheRouteError, NotFound
from cacheroute.kdn_client import Kdn
from cacheroute.sanitise import for_line
from cacheroute.wire.documents import DeletedDocument

T = TypeVar("T")


def delete(invocation: Invocation, what: str, yes: bool, kdn: str | None) -> int | None:
    """At every KDN that has it, unless one is named. Asks first, unless told not to. Returns 1 if a KDN could not be
    asked, or something is left anywhere.

    Raises NotFound, BadRequest; typer.Abort where the answer is no.
    """

    documents, failures = asyncio.run(_held(invocation, kdn, find_document, what))
    document = next(iter(documents.values()))
    at = ", ".join(documents)
    name = for_line(f"{document.title} ({document.source}, collection {document.collection})")
    _confirm(invocation.out, yes, f"Delete {name} at {at}, its vectors and its KV for good?", document.source)

    async def deleted() -> dict[str, DeletedDocument]:
        async with invocation.client() as client:
            done: dict[str, DeletedDocument] = {}
            for name, each in documents.items():
                try:
                    done[name] = await client.kdns[name].forget(each.source, each.collection)
                except CacheRouteError as error:
                    failures.append(error.message)
            return done

    done, out = asyncio.run(deleted()), invocation.out
    out.result({"kdns": done, "failures": failures})
    for name, gone in done.items():
        out.say(f"{name}: deleted {gone.source}: {counted(len(gone.kids), 'block')}, "
                f"{counted(len(gone.artifacts), 'artifact')}, {_chunks(gone.purged)}.")  # fmt: skip
        _say_proof(out, gone)
    for failure in failures:
        out.note(f"NOT DELETED THERE: {failure}")
    left = any(proof.left for gone in done.values() for proof in gone.proof)
    return 1 if left or failures else None


def evict(invocation: Invocation, what: str, yes: bool, kdn: str | None) -> int | None:
    """Returns 1 if a KDN could not be asked. Raises NotFound where there is no KV, BadRequest where nobody can be
    asked whether it may go."""

    held, failures = asyncio.run(_held(invocation, kdn, find_artifacts, what))
    artifacts = [artifact for each in held.values() for artifact in each]
    if not artifacts:
        raise no_kv(what, ", ".join(held))
    total_mb = sum(artifact.nbytes for artifact in artifacts) / 2**20
    pinned = sum(artifact.pinned for artifact in artifacts)
    question = f"Drop {counted(len(artifacts), 'artifact')} ({total_mb:.0f} MB{f', {pinned} pinned' if pinned else ''})"
    _confirm(invocation.out, yes, f"{question} at {', '.join(held)}? The text stays.", what)

    async def dropped() -> dict[str, int]:
        async with invocation.client() as client:
            purged: dict[str, int] = {}
            for name, each in held.items():
                for artifact in each:
                    try:
                        for store, chunks in (await client.kdns[name].evict(artifact.id))["purged"].items():
                            purged[store] = purged.get(store, 0) + chunks
                    except NotFound:  # it went by itself meanwhile
                        continue
            return purged

    purged, out = asyncio.run(dropped()), invocation.out
    out.result({"evicted": held, "purged": purged, "failures": failures})
    out.say(f"Dropped {counted(len(artifacts), 'artifact')}, {total_mb:.0f} MB; {_chunks(purged)}. The text stays.")
    for failure in failures:
        out.note(failure)
    return 1 if failures else None


async def _held(
    invocation: Invocation, kdn: str | None, find: Callable[[Kdn, str], Awaitable[T]], what: str
) -> tuple[dict[str, T], list[str]]:
    """What `find` finds at each KDN that knows `what`, and why one cannot be asked. Raises NotFound if none does."""
    async with invocation.client() as client:
        held, errors = await of_each(chosen_kdns(client, kdn), lambda role: find(role, what))
        return held, [error.message for error in errors if not isinstance(error, NotFound)]


def _confirm(out: Output, yes: bool, question: str, what: str) -> None:
    if yes:
        return
    if out.as_json or not sys.stdin.isatty():
        raise BadRequest(f"{for_line(what)}: this destroys something and nobody can be asked: say --yes")
    typer.confirm(question, abort=True)


def _chunks(purged: Mapping[str, int]) -> str:
    """What went out of kv stores."""
    return ", ".join(f"{counted(chunks, 'chunk')} out of {store}" for store, chunks in purged.items()) or "no kv store"


def _say_proof(out: Output, gone: DeletedDocument) -> None:
    """Where was looked after it, and what was found."""
    width = max((len(proof.place) for proof in gone.proof), default=0)
    for proof in gone.proof:
        note = f"  ({proof.note})" if proof.note else ""
        out.say(f"  {proof.place:<{width}}  {proof.left} left{note}")
    for proof in gone.proof:
        if proof.left:
            out.note(f"NOT GONE: {proof.place}: {proof.left} left")
    for place in gone.pending:
        out.note(f"cannot be reached now, purged as soon as it can be: {place}")
    for note in gone.notes:
        out.note(note)
