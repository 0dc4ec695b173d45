"""The baseline: plain transformers on the same token ids, in a process of its own, one prefill in one piece.

`python -m cacheroute.bench.plain MODEL_DIR THREADS` reads one JSON list of ids a line and answers each with the ms
to the first token. `PlainTransformers` is the other end of that pipe.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cacheroute.errors import UpstreamFailed

START_TIMEOUT_S = 180.0
ANSWER_TIMEOUT_S = 120.0


class PlainTransformers:
    """A running baseline."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ttft_ms(self, ids: Sequence[int]) -> float:
        """Time to the first token for these ids, inside the baseline's own process. Raises UpstreamFailed."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(list(ids)).encode() + b"\n")
        return float(await self._line(ANSWER_TIMEOUT_S))

    async def _line(self, timeout_s: float) -> str:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), timeout_s)
        if not line:
            raise UpstreamFailed("the transformers baseline ended; its error is above")
        return line.decode()

    async def until_loaded(self) -> None:
        await self._line(START_TIMEOUT_S)


@asynccontextmanager
async def plain_transformers(model: Path, threads: int) -> AsyncGenerator[PlainTransformers]:
    """The baseline process, loaded and warm; ended on leaving."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cacheroute.bench.plain", str(model), str(threads)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        baseline = PlainTransformers(process)
        await baseline.until_loaded()
        yield baseline
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _serve(model_dir: str, threads: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.bfloat16, local_files_only=True)

    def ttft_ms(ids: Sequence[int]) -> float:
        start_s = time.perf_counter()
        with torch.inference_mode():
            out = model(torch.tensor([ids]), use_cache=True, logits_to_keep=1)
            int(out.logits[0, -1].argmax())
        return (time.perf_counter() - start_s) * 1000

    ttft_ms(range(64))
    _answer("ready")
    for line in sys.stdin:
        _answer(str(ttft_ms(json.loads(line))))


def _answer(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
