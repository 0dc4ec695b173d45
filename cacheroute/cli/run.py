"""`cacheroute run`, which `make run` calls: from nothing to a stack that answers, then the console or the demo.

Every step is harmless where it was done before, so a second run only starts what does not run.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

from cacheroute.answer import Answer, Question, ask
from cacheroute.cli.ask import say_decision, served_model, titles
from cacheroute.cli.bench import show_demo
from cacheroute.cli.builds import Built, build_sets
from cacheroute.cli.documents import samples
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.registration import register
from cacheroute.cli.selection import KID_SHOWN
from cacheroute.cli.up import bring_up, endpoints, say_endpoints
from cacheroute.config import Config
from cacheroute.errors import UpstreamFailed

FIRST_QUESTION = "Which port does the scheduler listen on?"


def run(invocation: Invocation, repeats: int) -> int | None:
    """Returns what the console returned, where one was opened. Raises CacheRouteError, StackError."""
    out = invocation.out
    bring_up(invocation)
    answer, names = asyncio.run(_filled(invocation))
    say_decision(out, answer, names)
    out.say()
    if not out.as_json and sys.stdin.isatty() and sys.stdout.isatty():
        say_endpoints(invocation)
        code = _console(invocation)
        out.say("\nThe console is closed; the stack runs on.")
        say_endpoints(invocation)
        return code
    result = show_demo(invocation, repeats=repeats)
    out.result({"endpoints": endpoints(invocation), "answer": answer, "demo": result})
    say_endpoints(invocation)
    return None


async def _filled(invocation: Invocation) -> tuple[Answer, dict[str, str]]:
    """Registers the sample knowledge, builds its KV, asks one question of it."""
    out = invocation.out
    async with invocation.client() as client:
        kdn = next(iter(client.kdns.values()))
        added = await register(kdn, samples())
        kids = [kid for document in added for kid in document.kids]
        out.say(f"Sample knowledge: {len(added)} documents, {len(kids)} blocks at {kdn.name}.")
        if _takes_kv(invocation.config):
            names = {kid: f"{kid[:KID_SHOWN]} {document.title}" for document in added for kid in document.kids}
            _check(await build_sets(out, kdn, [(kid,) for kid in kids], names=names))
        out.say(f"\n> {FIRST_QUESTION}\n")
        question = Question(text=FIRST_QUESTION, model=await served_model(client))
        answer = await ask(client.endpoint, question, lambda piece: out.say(piece, end=""))
        out.say("\n")
        return answer, await titles(client, answer.way.knowledge)


def _takes_kv(config: Config) -> bool:
    return any(engine.kind == "embedded" and engine.kv_store for engine in config.engine.values())


def _check(built: Built) -> None:
    """Raises UpstreamFailed where no KV at all could be built."""
    if not built.artifacts:
        raise UpstreamFailed(f"no KV could be built: {'; '.join(built.reasons)}")


def _console(invocation: Invocation) -> int:
    """Opens the console in this terminal; the stack does not depend on it."""
    program = Path(sys.executable).with_name("cacheroute-console")
    named = ["--config", str(invocation.config_file)] if invocation.config_file is not None else []
    return subprocess.run([str(program), *named], check=False).returncode
