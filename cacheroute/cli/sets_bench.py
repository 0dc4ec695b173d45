"""`cacheroute bench sets`: what KV of common sets of blocks adds to KV of single ones."""

import asyncio

from msgspec import Struct

from cacheroute.bench.set_ttft import SetTtft, run_set_ttft
from cacheroute.bench.sets import SetRow, run_sets
from cacheroute.cli.invocation import Invocation
from cacheroute.errors import Unavailable


class SetsResult(Struct, frozen=True, kw_only=True):
    """`ttft` is None where no stack was up."""

    rows: tuple[SetRow, ...]
    ttft: SetTtft | None


def show_sets(invocation: Invocation) -> SetsResult:
    """Simulates requests for two or three blocks, and asks some of the running stack if there is one."""
    out = invocation.out
    out.note("simulating")
    rows = run_sets()
    try:
        ttft = asyncio.run(run_set_ttft(invocation.config, progress=out.note))
    except Unavailable as error:
        out.note(f"not asked of a running stack: {error.message}")
        ttft = None
    table = (
        (
            row.workload,
            row.order,
            f"{row.budget:.0%}",
            f"{row.singles:.0%}",
            f"{row.advised_singles:.0%}",
            f"{row.advised_sets:.0%}",
            row.set_artifacts,
        )
        for row in rows
    )
    shares = ("BUDGET", "SINGLES", "ADVISED SINGLES", "ADVISED SETS", "SETS KEPT")
    out.table(("WORKLOAD", "ORDER", *shares), table, right=shares)
    out.say(
        "Share of the knowledge tokens that KV served, with as many bytes of KV as the budget allows (of all singles)."
    )
    if ttft is not None:
        times = ", ".join(f"{state} {ms:.0f} ms" for state, ms in ttft.ttft_ms.items())
        out.say(f"Three blocks of {ttft.knowledge_tokens} tokens, time to the first token, median: {times}.")
    return SetsResult(rows=rows, ttft=ttft)
