"""`cacheroute knowledge add`: files, folders and standard input into a KDN. Run again, it goes on where it ended."""

import asyncio
from collections.abc import Sequence
from typing import Any

from cacheroute.cli.documents import Listing, find
from cacheroute.cli.intake import Intake, add_document
from cacheroute.cli.intake_display import Display, summary
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.selection import chosen_kdn
from cacheroute.cli.tally import Tally
from cacheroute.cli.words import counted
from cacheroute.errors import BadRequest, CacheRouteError
from cacheroute.kdn_client import Kdn
from cacheroute.wire.documents import AddedDocument
from knowledge.document import Document
from knowledge.parse import Given

INTERRUPTED = 130
_GOES_ON = "the same command goes on from there: what is in already costs nearly nothing"


def add(
    invocation: Invocation,
    path: Sequence[str],
    collection: str | None,
    title: str | None,
    source: str | None,
    version: str | None,
    tag: Sequence[str],
    kdn: str | None,
) -> int | None:
    """Adds what can be read, names what cannot; returns 1 if there was any of that, 130 if it was interrupted.

    Raises BadRequest, and CacheRouteError where the KDN is not there from the start.
    """
    listing = find(path)
    if (title or source) and (len(path) > 1 or len(listing.files) > 1):
        raise BadRequest("--title and --source are for a single document")
    given = Given(source, title, version, collection, tuple(tag))
    tally = Tally(len(listing.files))
    display = Display(invocation.out, tally)
    tally.failed(list(listing.failures))
    display.failed(listing.failures)
    ended: str | None = None
    interrupted = False
    try:
        if listing.files:
            asyncio.run(_registered(invocation, listing, given, tally, display, kdn))
    except KeyboardInterrupt:
        interrupted = True
    except CacheRouteError as error:
        if not tally.read:
            raise
        ended = str(error)
    return _concluded(invocation, listing, tally, ended, interrupted)


async def register(kdn: Kdn, documents: Sequence[Document]) -> list[AddedDocument]:
    """Adds each at `kdn`; one that is there already, word for word, stays as it is."""
    return [await add_document(kdn, document) for document in documents]


async def _registered(
    invocation: Invocation, listing: Listing, given: Given, tally: Tally, display: Display, kdn: str | None
) -> None:
    async with invocation.client() as client:
        chosen = chosen_kdn(client, kdn)
        await chosen.status()  # that nobody is there should be said before a thousand files are read
        async with display.shown():
            await Intake(chosen, tally, display.added, display.failed).run(listing.files, given)


def _concluded(
    invocation: Invocation, listing: Listing, tally: Tally, ended: str | None, interrupted: bool
) -> int | None:
    """The last words of a run, and its exit code."""
    out = invocation.out
    many = tally.files > 1 or tally.found > 1
    for line in summary(tally) if many else ():
        out.note(line)
    if listing.passed_over:
        out.note(f"{counted(listing.passed_over, 'file')} of no format that is known: passed over.")
    problems = list(tally.failures)
    code, name = (1, "bad_document") if problems else (None, "")
    if ended is not None or interrupted:
        why = f"the KDN takes no more: {ended}" if ended is not None else "interrupted"
        last = f"{why}; {counted(len(tally.added), 'document')} of {_expected(tally)} are in; {_GOES_ON}"
        if not out.as_json:
            out.error([last], kind="", code="")
        problems.append(last)
        code, name = (INTERRUPTED, "interrupted") if interrupted else (1, "kdn_unavailable")
    out.result(_result(tally, listing, interrupted, problems, name))
    return code


def _expected(tally: Tally) -> str:
    """How many documents there are, as far as is known."""
    return f"{tally.found:,}" if tally.read == tally.files else f"{max(tally.found, tally.files):,} or so"


def _result(tally: Tally, listing: Listing, interrupted: bool, problems: list[str], name: str) -> dict[str, Any]:
    result = {
        "documents": tally.added,
        "failures": tally.failures,
        "interrupted": interrupted,
        "counts": {
            **tally.statuses,
            "failures": len(tally.failures),
            "blocks": tally.blocks,
            "files": tally.files,
            "files_read": tally.read,
            "files_passed_over": listing.passed_over,
        },
        "took_s": round(tally.took_s, 3),
        "documents_per_s": round(tally.per_s, 3),
        "parts_ms": {part: round(ms, 3) for part, ms in tally.parts_ms.items()},
    }
    if not problems:
        return result
    kind = "server_error" if name == "kdn_unavailable" else "invalid_request_error"
    return result | {"error": {"message": "\n".join(problems), "type": kind, "code": name}}
