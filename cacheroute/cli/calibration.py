"""`cacheroute knowledge calibrate`: the threshold fitted to questions whose answers are known."""

import asyncio
from pathlib import Path

import msgspec

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.words import counted
from cacheroute.errors import BadRequest
from cacheroute.wire.retrieval import Calibration, Labelled

MAX_BYTES = 4 * 2**20


def calibrate(invocation: Invocation, file: str) -> None:
    """`file` has one JSON object a line: question, document (or none), phrase. Raises BadRequest naming the line."""
    questions = read_questions(Path(file))

    async def fitted() -> Calibration:
        async with invocation.client() as client:
            return await client.calibrate(questions)

    done, out = asyncio.run(fitted()), invocation.out
    out.result(done)
    out.say(f"Threshold {done.before:.3f} -> {done.threshold:.3f}, from {counted(done.questions, 'question')} "
            f"({done.answerable} answerable) over {done.blocks} blocks.")  # fmt: skip
    out.say(f"Cross-validated: {done.precision:.2f} of what is injected is right, {done.recall:.2f} of the answerable "
            f"get it, AUROC {done.auroc:.3f}.")  # fmt: skip


def read_questions(path: Path) -> tuple[Labelled, ...]:
    """Raises BadRequest naming the line that cannot be used; OSError."""
    with path.open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise BadRequest(f"{path}: more than {MAX_BYTES:,} bytes of questions")
    questions: list[Labelled] = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            raw = msgspec.json.decode(line)
            if isinstance(raw, dict):  # null is how a JSON file says "none does"
                raw = {name: value for name, value in raw.items() if value is not None}
            questions.append(msgspec.convert(raw, Labelled))
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise BadRequest(f"{path}, line {number}: {error}") from error
    if not questions:
        raise BadRequest(f"{path}: no questions; one JSON object a line, with question, document and phrase")
    return tuple(questions)
