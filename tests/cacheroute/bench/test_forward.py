from pathlib import Path

import msgspec
import torch
from fakes.tiny_models import tiny_llama, write_model

from cacheroute.bench.forward import run_forward


def test_every_step_of_both_forwards_is_timed_with_its_settings(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        result = run_forward(write_model(tiny_llama(), tmp_path), "", threads=1, sizes=(32, 64), repeats=2)
    finally:
        torch.set_num_threads(threads)
    assert [row.knowledge_tokens for row in result.rows] == [32, 64]
    for row in result.rows:
        steps = ("text", "load", "tail", "decode")
        assert set(row.ms) == {*steps, *(f"reference_{step}" for step in steps)}
        assert all(0 < timing.low_ms <= timing.median_ms <= timing.high_ms for timing in row.ms.values())
        assert row.text_over_kv > 0
    assert (result.threads, result.repeats) == (1, 2)
    assert result.forward.startswith("llama-")
    assert msgspec.json.decode(msgspec.json.encode(result))["machine"]
