"""`cacheroute demo` and `bench`: figures measured here and now."""

import asyncio
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from cacheroute.cli.invocation import Invocation
from cacheroute.errors import NotFound

BENCHES = ("demo",)
"""The benchmarks there are; `demo` measures a running stack."""

STATES = ("text", "kdn_inject", "store_hit", "prefix_hit")
SIZES = (256, 512, 1024, 2048)
"""Lengths of the demo's documents, in tokens."""


def demo(invocation: Invocation, size: Sequence[int], repeats: int) -> None:
    """Needs a running stack."""
    invocation.out.result(show_demo(invocation, sizes=size, repeats=repeats))


def bench(invocation: Invocation, name: str) -> None:
    """Raises NotFound for a benchmark that there is not."""
    if name not in (*BENCHES, "all"):
        raise NotFound(f"there is no benchmark {name!r}; there are all, {', '.join(BENCHES)}")
    results = {each: show_demo(invocation, sizes=(), repeats=5) for each in (BENCHES if name == "all" else (name,))}
    invocation.out.result(results if name == "all" else results[name])


def show_demo(invocation: Invocation, *, sizes: Sequence[int], repeats: int) -> Any:
    """Runs the demo on the running stack and shows its table; returns its result."""
    run_demo = import_module("cacheroute.bench.demo").run_demo
    out = invocation.out
    result = asyncio.run(run_demo(invocation.config, tuple(sizes) or SIZES, repeats, out.note))
    out.table(
        (
            "TOKENS",
            "TEXT",
            "KDN INJECT",
            "STORE HIT",
            "PREFIX HIT",
            "INJECT",
            "STORE",
            "CACHED",
            "INJECTED",
            "SAME ANSWER",
        ),
        (
            (
                row.knowledge_tokens,
                *(f"{row.ttft_ms[state]:.0f} ms" for state in STATES),
                f"{row.ratio['kdn_inject']:.1f} x",
                f"{row.ratio['store_hit']:.1f} x",
                row.cached_tokens,
                f"{row.bytes_injected / 2**20:.1f} MB",
                "yes" if row.same_answer else "NO",
            )
            for row in result.rows
        ),
        right=("TOKENS", "TEXT", "KDN INJECT", "STORE HIT", "PREFIX HIT", "INJECT", "STORE", "CACHED", "INJECTED"),
    )
    out.say(f"Time to the first token; {result.engine} engine, {result.model}; text against plain transformers: "
            f"{result.text_vs_plain_transformers:.2f}")  # fmt: skip
    return result
