"""What must hold for every call of the knowledge soak, whatever is being killed meanwhile."""

import asyncio
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
from fakes.until import until
from soak.journal import Outcome
from soak.knowledge_stack import KILLED, REQUEST_S, Stack
from soak.ledger import Ledger, Source, Text

from cacheroute.telemetry import new_request_id

LATE_S = 10.0
"""Beyond its deadline, until a request counts as one that hangs: the machine may be busy."""
FOLLOW_S = 60.0
"""Longest until the scheduler has followed, where the KDN that knows has been killed and must start first."""
PASSING = {429, 503}
"""Statuses that say: come back later, and when."""
SERVED = {200, 504} | PASSING


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any
    prompt: dict[str, Any] | None
    """What the engine got; None where the request did not come so far."""


class Checks:
    """Asks the stack, and holds each answer against the ledger."""

    def __init__(self, stack: Stack, ledger: Ledger) -> None:
        self.stack = stack
        self.ledger = ledger
        self.with_knowledge = 0

    async def chat(self, messages: list[dict[str, Any]], *, deadline_s: float = REQUEST_S, **fields: Any) -> Answer:
        """One answered chat: in time, of a documented status, and of no text that was gone when it began."""
        roles, began_s, request_id = self.stack.roles, time.monotonic(), new_request_id()
        headers = {"X-Request-ID": request_id, "X-Request-Deadline-Ms": f"{1000 * deadline_s:.0f}"}
        headers["X-Session-ID"] = fields.pop("session", "")
        body = {"model": roles.engine.model, "messages": messages, **fields}
        async with asyncio.timeout(deadline_s + LATE_S):
            url = f"{roles.url}/v1/chat/completions"
            async with roles.session.post(url, json=body, headers=headers) as response:
                raw = await response.read()
        answer = Answer(
            response.status,
            dict(response.headers),
            raw if response.content_type == "text/event-stream" else json.loads(raw),
            self.stack.prompt(request_id),
        )
        assert answer.status in SERVED | ({404} if "knowledge_ids" in fields else set()), answer
        self._says_when(answer.status, answer.headers)
        if answer.status == 504:
            assert time.monotonic() - began_s > deadline_s * 0.4, f"a 504 before its time: {answer}"
        stale = self.ledger.stale(json.dumps(answer.prompt), began_s)
        assert not stale, f"{stale} were gone before this request began: {answer}"
        if answer.status == 200:
            assert answer.prompt is not None, f"answered without an engine: {answer}"
            self.with_knowledge += bool(answer.headers["X-CacheRoute-Knowledge"])
        return answer

    async def kdn(self, kdn: str, method: str, path: str, body: Any = None, *, expected: set[int]) -> tuple[int, Any]:
        """(status, JSON); 0 where the KDN was being killed. Else only `expected` and those that pass."""
        roles, before, was_up = self.stack.roles, self.stack.interruptions, self.stack.is_up
        headers = {"Authorization": f"Bearer {roles.token}"}
        try:
            async with (
                asyncio.timeout(120),
                roles.session.request(method, roles.kdn_url(kdn) + path, json=body, headers=headers) as response,
            ):
                status, answer = response.status, json.loads(await response.read())
        except aiohttp.ClientError:
            assert kdn == KILLED, f"{kdn} broke off: {method} {path}"
            assert not (was_up and before == self.stack.interruptions), f"{kdn} broke off, and nobody had killed it"
            return 0, None
        assert status in expected | PASSING, f"{kdn} {method} {path}: {status} {answer}"
        self._says_when(status, response.headers)
        return status, answer

    async def asked_for(self, source: Source, kids: tuple[str, ...], text: Text, outcome: Outcome) -> None:
        """A text that is there is found by its kids, and the prompt is the same by text and by KV."""
        messages = [{"role": "user", "content": f"What about {source.name}?"}]
        prompts: list[dict[str, Any]] = []
        for mode in ("text", "kv"):
            answer = await self.chat(messages, knowledge_ids=kids, Injection_type=mode, max_tokens=2)
            assert answer.status != 404, f"{source.name} {text.mark} is not found: {answer}"
            outcome.text = f"{answer.status} {answer.headers.get('X-CacheRoute-Injection', '')}"
            if answer.status != 200:
                return
            assert set(answer.headers["X-CacheRoute-Knowledge"].split(",")) == set(kids)
            prompts.append(answer.prompt or {})
        said = prompts[0]["messages"][0]["content"]
        assert all(paragraph in said for paragraph in text.body.split("\n\n")), (text, prompts[0])
        assert prompts[0] == prompts[1], "text and KV"

    async def until_known(self, kids: tuple[str, ...], kdn: str) -> None:
        """A KDN that has said yes is asked by the scheduler at once, unless it has just been killed."""
        before, messages = self.stack.interruptions, [{"role": "user", "content": "known?"}]
        async with asyncio.timeout(FOLLOW_S):
            while True:
                answer = await self.chat(messages, knowledge_ids=kids, max_tokens=1)
                if answer.status == 200:
                    return
                undisturbed = kdn != KILLED or (self.stack.is_up and before == self.stack.interruptions)
                assert not (answer.status == 404 and undisturbed), f"{kdn} has {kids}, the scheduler not: {answer}"
                await asyncio.sleep(0.05)

    async def until_gone(self, text: Text, kids: tuple[str, ...]) -> None:
        """The scheduler follows: from then on nobody is served the text."""
        start_s = time.monotonic()
        for kid in kids:
            await until(partial(self._is_unknown, kid), within_s=FOLLOW_S)
        self.ledger.is_gone(text, time.monotonic() - start_s)

    async def _is_unknown(self, kid: str) -> bool:
        messages = [{"role": "user", "content": "gone?"}]
        return (await self.chat(messages, knowledge_ids=[kid], max_tokens=1)).status == 404

    def _says_when(self, status: int, headers: Any) -> None:
        assert status not in PASSING or int(headers["Retry-After"]) >= 1
