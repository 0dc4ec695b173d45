"""`cacheroute knowledge why`: what was considered for a request or a question, and why it was used or not."""

import asyncio
import re

from cacheroute.cli.considered import say_considered
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.output import Output
from cacheroute.cli.selection import KID_SHOWN
from cacheroute.errors import NotFound
from cacheroute.wire.decision import HopReport, RequestTrace

REQUEST_ID = re.compile(r"\S{6,128}")
"""What could be the id of a request rather than a question: one word."""


def why(invocation: Invocation, what: str) -> None:
    """Of a request that was served: what was looked at then. Of a question: what would be now. Raises NotFound."""
    if what != "last" and not REQUEST_ID.fullmatch(what):
        from cacheroute.cli.catalogue import search

        search(invocation, what, k=10)
        return
    trace = asyncio.run(_remembered(invocation, what))
    invocation.out.result(trace)
    _say(invocation.out, trace)


async def _remembered(invocation: Invocation, what: str) -> RequestTrace:
    async with invocation.client() as client:
        if what == "last":
            newest = await client.requests(1)
            if not newest:
                raise NotFound("no request has been served since the scheduler started: `cacheroute ask QUESTION`")
            return newest[0]
        try:
            return await client.request(what)
        except NotFound as error:
            hint = "if it is a question, ask `cacheroute knowledge search`"
            raise NotFound(f"{error.message}; {hint}") from error


def _say(out: Output, trace: RequestTrace) -> None:
    out.say(f"request    {trace.request_id}, {trace.started_at}")
    out.say(f"status     {trace.status or 'under way'} {trace.error}".rstrip())
    if trace.conversation:
        out.say(f"turns      conversation {trace.conversation}")
    out.say(f"retrieval  {trace.retrieval or 'none'}")
    used = ", ".join(kid[:KID_SHOWN] for kid in trace.knowledge)
    out.say(f"knowledge  {used or 'none'}")
    if trace.considered:
        say_considered(out, trace.considered)
    out.say(f"injection  {trace.injection or 'none'}: {trace.reason}")
    for hop in trace.hops:
        _say_kdn(out, hop)
    out.say(f"route      {trace.pool or '-'} -> {trace.instance or '-'}")
    first = f"first token {trace.ttft_ms:.0f} ms, " if trace.ttft_ms is not None else ""
    if trace.total_ms is not None:
        out.say(f"time       {first}all {trace.total_ms:.0f} ms")


def _say_kdn(out: Output, hop: HopReport) -> None:
    """Where KV was asked for, and what was pushed."""
    if hop.kdn is not None:
        out.say(f"KDN        {hop.kdn.target}: {hop.kdn.reason}")
    if (receipt := hop.receipt) is not None:
        pushed = f"{receipt.pushed} pushed ({receipt.nbytes / 2**20:.1f} MB)"
        failed = f"; {receipt.error}" if receipt.error else ""
        out.say(f"chunks     {receipt.present} were in {receipt.store}, {pushed} in {receipt.ms:.0f} ms{failed}")
