"""`cacheroute demo` and `bench`: figures measured here and now."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from cacheroute.bench.demo import SIZES, STATES, DemoResult, run_demo
from cacheroute.cli.corpus_bench import show_corpus
from cacheroute.cli.forward_bench import show_forward
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.retrieval_bench import show_confidence, show_retrieval
from cacheroute.cli.sets_bench import show_sets
from cacheroute.errors import NotFound

REPEATS = 5

_COLUMNS = (
    "TOKENS",
    "TEXT",
    "KDN INJECT",
    "STORE HIT",
    "PREFIX HIT",
    "INJECT",
    "STORE",
    "PREFIX",
    "CACHED",
    "INJECTED",
)


def demo(invocation: Invocation, size: Sequence[int], repeats: int) -> None:
    """Needs a running stack."""
    invocation.out.result(show_demo(invocation, size, repeats))


def bench(invocation: Invocation, name: str) -> None:
    """Raises NotFound for a benchmark that there is not."""
    if name not in (*BENCHES, *FITS, "all"):
        raise NotFound(f"there is no benchmark {name!r}; there are all, {', '.join((*BENCHES, *FITS))}")
    runs = {name: FITS[name]} if name in FITS else BENCHES
    results = {each: run(invocation) for each, run in runs.items() if name in (each, "all")}
    invocation.out.result(results if name == "all" else results[name])


def show_demo(invocation: Invocation, sizes: Sequence[int] = (), repeats: int = REPEATS) -> DemoResult:
    """Runs the demo on the running stack and shows its table; returns its result."""
    out = invocation.out
    result = asyncio.run(run_demo(invocation.config, tuple(sizes) or SIZES, repeats, out.note))
    rows = (
        (
            row.knowledge_tokens,
            *(f"{row.ttft_ms[state]:.0f} ms" for state in STATES),
            *(f"{row.ratio[state]:.1f} x" for state in STATES if state != "text"),
            row.cached_tokens,
            f"{row.bytes_injected / 2**20:.1f} MB",
            "yes" if row.same_answer else "NO",
        )
        for row in result.rows
    )
    out.table((*_COLUMNS, "SAME ANSWER"), rows, right=_COLUMNS)
    against = result.text_vs_plain_transformers
    plain = f"; text / plain transformers: {against:.2f}" if against is not None else ""
    out.say(f"Time to the first token, median of {result.repeats}; {result.model}, {result.engine} engine{plain}.")
    out.say(f"Every measurement is in {result.raw}")
    return result


BENCHES: Mapping[str, Callable[[Invocation], Any]] = MappingProxyType(
    {
        "demo": show_demo,
        "sets": show_sets,
        "forward": show_forward,
        "retrieval": show_retrieval,
        "corpus": show_corpus,
    }
)
"""Each runs, shows its result, and returns it."""

FITS: Mapping[str, Callable[[Invocation], Any]] = MappingProxyType({"confidence": show_confidence})
"""As the benches, but nothing is measured: not among all of them."""
