"""`cacheroute bench forward`: what the embedded engine's forward passes cost here."""

import os
from typing import TYPE_CHECKING

from cacheroute.cli.invocation import Invocation

if TYPE_CHECKING:  # torch takes seconds that other benches need not spend
    from cacheroute.bench.forward import ForwardResult


def show_forward(invocation: Invocation) -> "ForwardResult":
    """Needs no running stack. Of the first embedded engine of the configuration."""
    from cacheroute.bench.forward import run_forward
    from cacheroute.engine.config import EngineConfig
    from cacheroute.engine.prepare import prepare

    out, config = invocation.out, invocation.config
    engine = next((each for each in config.engine.values() if each.kind == "embedded"), EngineConfig())
    model = prepare(engine.model, config.paths.data_dir)
    out.note(f"{model.name}: whole prompts, tails behind loaded KV, decoding")
    result = run_forward(model.path, model.weights_sha256, engine.threads or os.cpu_count() or 1)
    steps = tuple(result.rows[0].ms)
    columns = ("TOKENS", *(step.replace("_", " ").upper() for step in steps), "TEXT / KV")
    rows = (
        (row.knowledge_tokens, *(f"{row.ms[step].median_ms:.1f} ms" for step in steps), f"{row.text_over_kv:.1f} x")
        for row in result.rows
    )
    out.table(columns, rows, right=columns)
    out.say(f"Medians of {result.repeats}; {result.forward} against {result.reference}; {result.threads} threads on "
            f"{result.machine}.")  # fmt: skip
    return result
