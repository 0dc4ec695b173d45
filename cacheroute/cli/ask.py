"""`cacheroute ask`: one question through the OpenAI endpoint; then what was used, where it went, and why."""

import asyncio
from collections.abc import Sequence

from cacheroute.answer import Answer, Question
from cacheroute.answer import ask as send
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.output import Output
from cacheroute.cli.reading import read_text
from cacheroute.cli.selection import KID_DIGITS, find_blocks
from cacheroute.client import Client
from cacheroute.errors import BadRequest, CacheRouteError, Unavailable
from cacheroute.kdn_client import Kdn
from cacheroute.wire.serve import InjectionType


def ask(
    invocation: Invocation,
    question: str,
    mode: InjectionType,
    rag: bool,
    stream: bool,
    max_tokens: int,
    knowledge: Sequence[str],
    model: str | None,
) -> None:
    """Raises CacheRouteError as the endpoint answers it."""
    text = read_text("-") if question == "-" else question
    if not text.strip():
        raise BadRequest("the question is empty: say what to ask")

    async def answered() -> tuple[Answer, dict[str, str]]:
        async with invocation.client() as client:
            asked = Question(
                text=text,
                model=model or await served_model(client),
                injection=mode,
                rag=rag,
                knowledge_ids=await whole_kids(client, knowledge),
                max_tokens=max_tokens,
                stream=stream,
                timeout_s=invocation.config.scheduler.request_timeout_s,
            )
            answer = await send(client.endpoint, asked, lambda piece: invocation.out.say(piece, end=""))
            return answer, await titles(client, answer.way.knowledge)

    answer, names = asyncio.run(answered())
    invocation.out.result({"answer": answer, "titles": names})
    invocation.out.say("\n")
    say_decision(invocation.out, answer, names)


async def served_model(client: Client) -> str:
    """The first model that the endpoint lists. Raises Unavailable if there is none."""
    models = await client.models()
    if not models:
        raise Unavailable("no model is served yet: see `cacheroute status`")
    return models[0]


async def whole_kids(client: Client, named: Sequence[str]) -> tuple[str, ...]:
    """The kids that beginnings of kids, or sources, stand for: the endpoint takes whole ones only.

    Raises NotFound, BadRequest; Unavailable where a KDN had to be asked and does not answer.
    """
    if all(len(what) == KID_DIGITS for what in named):
        return tuple(named)
    kdns = list(client.kdns.values())
    return tuple(dict.fromkeys([kid for what in named for kid in await _kids_of(kdns, what)]))


async def _kids_of(kdns: Sequence[Kdn], what: str) -> list[str]:
    """At the first KDN that knows what is meant. Raises what the last one said."""
    for kdn in kdns[:-1]:
        try:
            return [block.kid for block in await find_blocks(kdn, what)]
        except CacheRouteError:
            continue
    return [block.kid for block in await find_blocks(kdns[-1], what)]


async def titles(client: Client, kids: Sequence[str]) -> dict[str, str]:
    """kid -> title, as far as a KDN can be asked: an answer is complete without them."""
    found: dict[str, str] = {}
    for kdn in client.kdns.values():
        for kid in kids:
            try:
                found.setdefault(kid, (await kdn.block(kid)).title)
            except CacheRouteError:
                continue
    return found


def say_decision(out: Output, answer: Answer, names: dict[str, str]) -> None:
    """How an answer came about, for people."""
    way = answer.way
    used = [f"{names.get(kid, 'untitled')} ({kid[:12]})" for kid in way.knowledge]
    first = f"first token {answer.ttft_ms:.0f} ms, " if answer.ttft_ms is not None else ""
    out.say(f"knowledge  {', '.join(used) or 'none'}; {way.retrieval}")
    out.say(f"route      {way.pool} -> {way.instance}")
    out.say(f"injection  {way.injection or 'none'}: {way.reason}")
    out.say(f"time       {first}all {answer.total_ms:.0f} ms{_tokens(answer)}")
    out.say(f"request    {way.request_id}")


def _tokens(answer: Answer) -> str:
    usage = answer.usage or {}
    if "prompt_tokens" not in usage:
        return ""
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    note = f" ({cached} cached)" if cached is not None else ""
    return f"; {usage['prompt_tokens']} prompt tokens{note}, {usage.get('completion_tokens', 0)} answer tokens"
