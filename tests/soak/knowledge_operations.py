"""What the workers of the knowledge soak do: each method is one operation on whatever its `rng` picks."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
from soak.journal import Journal, Outcome
from soak.knowledge_checks import Checks
from soak.knowledge_stack import KILLED, OURS, Stack
from soak.ledger import Ledger, Source, Text

Operation = Callable[[random.Random, Source, Outcome], Awaitable[None]]

OWN_PLACES = ("text", "vectors", "search index", "blobs")
"""Of a deletion's proof: those that nobody but the KDN writes to."""


class Operations:
    def __init__(self, stack: Stack, ledger: Ledger, checks: Checks, journal: Journal) -> None:
        self._journal = journal
        self._stack = stack
        self._ledger = ledger
        self._checks = checks
        self._weighted: dict[Operation, int] = {
            self.register: 8,
            self.delete: 2,
            self.ask_for: 6,
            self.ask: 6,
            self.talk: 3,
            self.leave: 4,
            self.build: 6,
            self.queue_build: 2,
            self.sync: 1,
            self.change_artifact: 4,
        }

    async def go_on(self, worker: int, rng: random.Random, over: asyncio.Event) -> None:
        """One operation after the other until it is over."""
        while not over.is_set():
            operation = rng.choices([*self._weighted], [*self._weighted.values()])[0]
            source = rng.choice(self._ledger.sources)
            with self._journal.operation(worker, operation.__name__, source.name) as outcome:
                await operation(rng, source, outcome)

    async def register(self, rng: random.Random, source: Source, outcome: Outcome) -> None:
        """Added, replaced, said again, set back to an earlier text, or the same as another source."""
        async with source.lock:
            text = self._text_for(rng, source)
            self._ledger.comes(source, text)
            while True:  # until it is acknowledged, as a client would
                kdn = rng.choice((OURS, KILLED))
                body = {"source": source.name, "text": text.body}
                status, answer = await self._checks.kdn(kdn, "POST", "/v1/documents", body, expected={200})
                if status == 200:
                    break
                await asyncio.sleep(0.2)
            outcome.text, before, kids = answer["status"], source.kids, tuple(answer["kids"])
            gone = self._ledger.is_now(source, text, kids)
            await self._checks.until_known(kids, kdn)
            if gone:
                await self._checks.until_gone(gone, before)

    def _text_for(self, rng: random.Random, source: Source) -> Text:
        other = rng.choice(self._ledger.sources)
        kept = [*source.earlier, *filter(None, (source.text, other.text))]
        return rng.choice(kept) if kept and rng.random() < 0.25 else self._ledger.new_text(source, rng)

    async def delete(self, rng: random.Random, source: Source, outcome: Outcome) -> None:
        """By whichever KDN has it; the proof shows that nothing is left."""
        async with source.lock:
            outcome.text, before, unsure = "404", source.kids, source.text is None
            for kdn in rng.sample((OURS, KILLED), 2):
                answer, broke_off = await self._deleted(kdn, source)
                unsure = unsure or broke_off
                if answer is not None:
                    outcome.text, unsure = "pending" if answer["pending"] else "deleted", True
                    break
            assert unsure, f"nobody knew {source.name}, {source.text}"
            gone = self._ledger.is_now(source, None, ())
            if gone:
                await self._checks.until_gone(gone, before)

    async def _deleted(self, kdn: str, source: Source) -> tuple[Any, bool]:
        """What a KDN said, None where it does not know the source; and whether an earlier try may have succeeded."""
        path, broke_off = f"/v1/documents?source={source.name}", False
        while True:
            comings = self._ledger.comings(source)
            status, answer = await self._checks.kdn(kdn, "DELETE", path, expected={200, 404})
            if status == 200 and self._ledger.comings(source) == comings:  # else another source has its text now
                # requests under way may put chunks back: they are purged once more, and looked at in the end
                assert [each for each in answer["proof"] if each["left"] and each["place"] in OWN_PLACES] == [], answer
            if status in (200, 404):
                return (answer if status == 200 else None), broke_off
            broke_off = True
            await asyncio.sleep(0.2)

    async def ask_for(self, rng: random.Random, source: Source, outcome: Outcome) -> None:
        """By explicit kids."""
        async with source.lock:
            outcome.text = "none"
            if source.text is not None:
                await self._checks.asked_for(source, source.kids, source.text, outcome)

    async def ask(self, rng: random.Random, source: Source, outcome: Outcome) -> None:
        """As a client that knows nothing of knowledge, with more or less time."""
        question = [{"role": "user", "content": self._ledger.question(source, rng)}]
        deadline_s = rng.choice((10.0, 10.0, 1.0, 0.2, 0.02))
        answer = await self._checks.chat(question, deadline_s=deadline_s, stream=rng.random() < 0.5)
        outcome.text = f"{answer.status} {answer.headers.get('X-CacheRoute-Injection', '')}"

    async def talk(self, rng: random.Random, source: Source, outcome: Outcome) -> None:
        """A conversation of several turns, about one thing and another."""
        messages: list[dict[str, Any]] = []
        session = f"session-{rng.randrange(10**6)}" if rng.random() < 0.5 else ""
        for _ in range(rng.randint(2, 5)):
            about = rng.choice((source, source, rng.choice(self._ledger.sources)))
            messages.append({"role": "user", "content": self._ledger.question(about, rng)})
            answer = await self._checks.chat(messages, session=session, Injection_type=rng.choice(("auto", "kv")))
            messages.append({"role": "assistant", "content": "ok"})
            outcome.text = str(answer.status)

    async def leave(self, rng: random.Random, source: Source, outcome: Outcome) -> None:
        """A client that goes away in the middle."""
        question, stream = [{"role": "user", "content": self._ledger.question(source, rng)}], rng.random() < 0.5
        kids = {"knowledge_ids": source.kids} if source.kids and rng.random() < 0.5 else {}
        outcome.text = "left"
        with suppress(TimeoutError):
            async with asyncio.timeout(rng.random() * 0.06):
                await self._request_and_nothing_else(question, stream=stream, **kids)
                outcome.text = "was answered"

    async def _request_and_nothing_else(self, messages: list[dict[str, Any]], **fields: Any) -> None:
        roles = self._stack.roles
        body = {"model": roles.engine.model, "messages": messages, "Injection_type": "kv", **fields}
        with suppress(aiohttp.ClientError):
            async with roles.session.post(f"{roles.url}/v1/chat/completions", json=body) as response:
                await response.read()

    async def build(self, rng: random.Random, source: Source, outcome: Outcome) -> None:
        body = {"kids": self._kids(rng, source)}
        status, built = await self._checks.kdn(
            rng.choice((OURS, KILLED)), "POST", "/v1/artifacts", body, expected={200, 400, 404, 502, 504}
        )
        outcome.text = str(status) if status != 200 else "built" if all(each["artifact"] for each in built) else "not"

    async def queue_build(self, rng: random.Random, source: Source, outcome: Outcome) -> None:
        sets = [self._kids(rng, rng.choice(self._ledger.sources)) for _ in range(3)]
        body = {"sets": [kids for kids in sets if kids] or [["0" * 64]]}
        status, _ = await self._checks.kdn(
            rng.choice((OURS, KILLED)), "POST", "/v1/builds", body, expected={200, 400, 404}
        )
        outcome.text = str(status)

    def _kids(self, rng: random.Random, source: Source) -> list[str]:
        """Of one source or of two."""
        more = rng.choice(self._ledger.sources).kids if rng.random() < 0.3 else ()
        return sorted({*source.kids, *more})

    async def sync(self, rng: random.Random, source: Source, outcome: Outcome) -> None:
        kdn, origin = rng.sample((OURS, KILLED), 2)
        # the other may be down, or up again and not yet told of by a lease
        status, _ = await self._checks.kdn(kdn, "POST", "/v1/sync", {"origin": origin}, expected={200, 404, 502})
        outcome.text = str(status)

    async def change_artifact(self, rng: random.Random, source: Source, outcome: Outcome) -> None:
        """Pinned, let go, verified, purged from the store, evicted."""
        kdn = rng.choice((OURS, KILLED))
        status, page = await self._checks.kdn(kdn, "GET", "/v1/artifacts", expected={200})
        outcome.text = "none"
        if status != 200 or not page["items"]:
            return
        path, what = f"/v1/artifacts/{rng.choice(page['items'])['id']}", rng.choice(("pin", "verify", "purge", "evict"))
        calls: dict[str, tuple[str, str, Any]] = {
            "pin": ("POST", f"{path}/pin", {"pinned": rng.random() < 0.3}),
            "verify": ("POST", f"{path}/verify", None),
            "purge": ("POST", "/v1/purge", {"artifact_id": path.rpartition("/")[2], "store": "kv-1"}),
            "evict": ("DELETE", path, None),
        }
        status, answer = await self._checks.kdn(kdn, *calls[what], expected={200, 404})
        outcome.text = f"{what} {status}"
        assert what != "verify" or status != 200 or answer["ok"], answer
