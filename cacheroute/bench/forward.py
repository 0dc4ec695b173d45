"""What the embedded engine's forward passes cost here: whole prompts, tails behind loaded KV, decoding.

The engine's own forward and transformers' are run on the same made-up token ids, in turn, so that what else the
machine does falls on both. No HTTP, no store, no tokenizer: only numerics, and the copying of loaded chunks.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import torch
from msgspec import Struct

from cacheroute.bench.stats import interval
from cacheroute.engine.embedded.forward import load_model
from cacheroute.engine.embedded.model import Model
from cacheroute.engine.embedded.reference import load_reference

SIZES = (256, 512, 1024, 2048)
CHUNK_TOKENS = 16
TAIL_TOKENS = 48
"""A question of some 40 tokens and half a chunk."""
PIECE_TOKENS = 256
DECODE_STEPS = 4

Step = Callable[[], None]


class Timing(Struct, frozen=True):
    """Milliseconds: the median and its 95 % bootstrap interval."""

    median_ms: float
    low_ms: float
    high_ms: float


class ForwardRow(Struct, frozen=True, kw_only=True):
    """One knowledge size. The steps: `text` is knowledge and tail from nothing, `load` copies the knowledge's
    chunks into a slab, `tail` computes what follows them, `decode` is one token; `reference_*` is transformers'."""

    knowledge_tokens: int
    ms: dict[str, Timing]
    text_over_kv: float
    """`text` / (`load` + `tail`): the most that a store hit could gain, before HTTP and the store itself."""


class ForwardResult(Struct, frozen=True, kw_only=True):
    rows: tuple[ForwardRow, ...]
    forward: str
    reference: str
    machine: str
    threads: int
    load_average: float
    """Of the last minute, at the end: what else ran counts in, as the bench itself does."""
    chunk_tokens: int = CHUNK_TOKENS
    tail_tokens: int = TAIL_TOKENS
    repeats: int


def run_forward(
    path: Path, digest: str, threads: int, sizes: tuple[int, ...] = SIZES, repeats: int = 5
) -> ForwardResult:
    """Measures the Hugging Face directory `path`; blocking, about a minute. One round before is not counted."""
    torch.set_num_threads(threads)
    ours, reference = load_model(path, digest).model, load_reference(path, digest)
    rows = tuple(_row(ours, reference, size, repeats) for size in sizes)
    return ForwardResult(
        rows=rows,
        forward=ours.spec.forward,
        reference=reference.spec.forward,
        machine=f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores, "
        f"torch {torch.__version__}",
        threads=threads,
        load_average=os.getloadavg()[0],
        repeats=repeats,
    )


def _row(ours: Model, reference: Model, size: int, repeats: int) -> ForwardRow:
    samples: dict[str, list[float]] = {}
    steps = {**_steps(ours, size), **{f"reference_{name}": step for name, step in _steps(reference, size).items()}}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            started_s = time.perf_counter()
            step()
            if turn:
                samples.setdefault(name, []).append((time.perf_counter() - started_s) * 1000)
    timings = {name: _timing(values, DECODE_STEPS if "decode" in name else 1) for name, values in samples.items()}
    kv_ms = timings["load"].median_ms + timings["tail"].median_ms
    return ForwardRow(knowledge_tokens=size, ms=timings, text_over_kv=round(timings["text"].median_ms / kv_ms, 2))


def _steps(model: Model, size: int) -> Mapping[str, Step]:
    """What is timed, in an order in which each leaves the slab as the next needs it."""
    ids = [(7919 * index + 104729) % model.spec.vocab for index in range(size + TAIL_TOKENS)]
    slab = model.spec.slab(len(ids) + DECODE_STEPS)
    model.prefill(slab, ids, 0)
    chunks = [slab.chunk_bytes(index, CHUNK_TOKENS) for index in range(size // CHUNK_TOKENS)]

    def text() -> None:
        start = 0
        while start < len(ids):
            end = min(start + PIECE_TOKENS, len(ids)) if model.spec.splits_freely else len(ids)
            model.prefill(slab, ids[start:end], start)
            start = end

    def load() -> None:
        slab.truncate(0)
        slab.load_chunks(0, CHUNK_TOKENS, chunks)

    def tail() -> None:
        model.prefill(slab, ids[size:], size)

    def decode() -> None:
        for _ in range(DECODE_STEPS):
            model.decode([slab], [1])

    return {"text": text, "load": load, "tail": tail, "decode": decode}


def _timing(values: list[float], steps: int) -> Timing:
    each = [value / steps for value in values]
    low, high = interval(each)
    return Timing(round(median(each), 2), round(low, 2), round(high, 2))
