"""`cacheroute knowledge why`: what was considered for a request or a question, and why it was used or not."""

import asyncio
import re
from collections.abc import Iterable

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.output import Output
from cacheroute.errors import NotFound
from cacheroute.wire.decision import Considered, RequestTrace

REQUEST_ID = re.compile(r"\S{6,128}")
"""What could be the id of a request rather than a question: one word."""


def why(invocation: Invocation, what: str) -> None:
    """Of a request that was served: what was looked at then. Of a question: what would be now. Raises NotFound."""

    async def asked() -> RequestTrace | None:
        async with invocation.client() as client:
            if what == "last":
                newest = await client.requests(1)
                if not newest:
                    raise NotFound("no request has been served since the scheduler started")
                return newest[0]
            if not REQUEST_ID.fullmatch(what):
                return None
            return await client.request(what)

    trace = asyncio.run(asked())
    if trace is None:
        from cacheroute.cli.catalogue import search

        search(invocation, what, k=10)
        return
    invocation.out.result(trace)
    _say(invocation.out, trace)


def _say(out: Output, trace: RequestTrace) -> None:
    out.say(f"request    {trace.request_id}, {trace.started_at}")
    out.say(f"status     {trace.status or 'under way'} {trace.error}".rstrip())
    if trace.conversation:
        out.say(f"turns      {trace.conversation}")
    out.say(f"retrieval  {trace.retrieval or 'none'}")
    used = ", ".join(kid[:12] for kid in trace.knowledge)
    out.say(f"knowledge  {used or 'none'}")
    if trace.considered:
        say_considered(out, trace.considered)
    out.say(f"injection  {trace.injection or 'none'}: {trace.reason}")
    out.say(f"route      {trace.pool or '-'} -> {trace.instance or '-'}")


def say_considered(out: Output, considered: Iterable[Considered]) -> None:
    """A table of what was looked at, best first."""
    out.table(
        ("KID", "TITLE", "CONFIDENCE", "SCORE", "WORDS", "MEANING", "VERDICT"),
        (
            (
                block.kid[:12],
                block.title,
                f"{block.confidence:.2f}",
                f"{block.fused:.2f}",
                f"{block.lexical:.2f}",
                f"{block.cosine:.2f}",
                block.reason,
            )
            for block in considered
        ),
        right=("CONFIDENCE", "SCORE", "WORDS", "MEANING"),
    )
