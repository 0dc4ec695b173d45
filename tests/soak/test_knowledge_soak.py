"""Hours of everything at once: knowledge comes and goes, is built, evicted and asked for, while a KDN is killed and a
kv store is flushed. Nobody is ever served what was deleted, nothing that was acknowledged is lost, nothing is left.
"""

import asyncio
import re
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from fakes.until import until
from soak.footprint import Footprint, grown
from soak.journal import Journal
from soak.knowledge_checks import Checks
from soak.knowledge_operations import Operations
from soak.knowledge_stack import KILLED, OURS, REQUEST_S, Stack, running_stack
from soak.knowledge_troubles import Troubles
from soak.ledger import MARK, Ledger

pytestmark = pytest.mark.soak

SOURCES, WORKERS = 24, 6
ROUND_S = 8.0
REST_S = 60.0
"""Longest until all that was begun has ended, once nobody asks for anything any more."""
TABLES = (".db", ".sqlite")
WORDS_GONE_S = 10.0
"""Longest until the files of databases have let go of what was deleted from them."""


async def test_nothing_is_lost_nothing_comes_back_nothing_is_left(tmp_path: Path, soak_s: float, journal: Journal):
    async with running_stack(tmp_path, journal.rng("engines")) as stack:
        ledger = Ledger(SOURCES)
        checks = Checks(stack, ledger)
        operations, troubles = Operations(stack, ledger, checks, journal), Troubles(stack, journal)
        rounds: list[Footprint] = []
        until_s = time.monotonic() + soak_s
        while time.monotonic() < until_s:
            over = asyncio.Event()
            asyncio.get_running_loop().call_later(min(ROUND_S, until_s - time.monotonic()), over.set)
            async with asyncio.TaskGroup() as group:
                for worker in range(WORKERS):
                    group.create_task(operations.go_on(worker, journal.rng(len(rounds), worker), over))
                group.create_task(troubles.go_on(journal.rng(len(rounds), "troubles"), over))
            await at_rest(stack)
            rounds.append(Footprint.now())
            journal.notes.append(f"round {len(rounds)}: {rounds[-1]}")
        journal.notes.append(
            f"{checks.with_knowledge} answers with knowledge; the scheduler followed within "
            f"{ledger.slowest_follow_s:.1f} s; {stack.interruptions} kills"
        )
        await both_hold(stack, ledger.live)
        live = {mark for text in ledger.live.values() for mark in MARK.findall(text)}
        await no_word(tmp_path, besides=live)
        await all_deleted(stack, ledger)
        await nothing_left(stack, tmp_path)
        assert grown(rounds) == []
    assert journal.log.lines == []
    assert "Traceback" not in stack.log, stack.log


async def at_rest(stack: Stack) -> None:
    """Every queue is empty again, by itself."""
    busy: dict[str, Any] = {}

    async def is_at_rest() -> bool:
        nonlocal busy
        busy = await stack.busy()
        return not busy

    try:
        await until(is_at_rest, within_s=REST_S)
    except TimeoutError:
        pytest.fail(f"never at rest: {busy}")


async def both_hold(stack: Stack, expected: dict[str, str]) -> None:
    """After a sync both ways, both KDNs have every document as it was acknowledged last."""
    held: dict[str, Any] = {}
    await synced(stack, OURS, KILLED)
    await synced(stack, KILLED, OURS)
    for kdn in (OURS, KILLED):
        blocks = (await call(stack, kdn, "GET", "/v1/blocks?limit=1000"))["items"]
        texts: dict[str, list[str]] = {}
        for block in sorted(blocks, key=lambda block: block["ordinal"]):
            text = (await call(stack, kdn, "GET", f"/v1/blocks/{block['kid']}"))["text"]
            texts.setdefault(block["source"], []).append(text)
        held[kdn] = {source: "\n\n".join(parts) for source, parts in texts.items()}
    assert held[OURS] == held[KILLED] == expected


async def all_deleted(stack: Stack, ledger: Ledger) -> None:
    """Each document at one KDN, and by a sync at the other."""
    for source in ledger.live:
        gone = await call(stack, OURS, "DELETE", f"/v1/documents?source={source}")
        assert ([each for each in gone["proof"] if each["left"]], gone["pending"]) == ([], [])
    await synced(stack, KILLED, OURS)


async def synced(stack: Stack, kdn: str, origin: str) -> None:
    """As soon as the leases have told of a KDN that was killed a moment ago."""

    async def succeeds() -> bool:
        return "taken" in await call(stack, kdn, "POST", "/v1/sync", {"origin": origin})

    await until(succeeds, within_s=REST_S)


async def nothing_left(stack: Stack, directory: Path) -> None:
    """No purge to be done, no artifact, no chunk, and no word of any text in any file."""

    left: dict[str, Any] = {}

    async def all_gone() -> bool:
        for kdn in (OURS, KILLED):
            left[kdn] = (await stack.status(kdn))["purges"], (await call(stack, kdn, "GET", "/v1/artifacts"))["items"]
        return not any(purges or artifacts for purges, artifacts in left.values())

    try:
        await until(all_gone, within_s=REQUEST_S + REST_S)
    except TimeoutError:
        pytest.fail(f"still to be purged, still kept: {left}")
    assert await stack.held_keys() == []
    assert [name for name, engine in stack.roles.engines.items() if engine.cache] == []
    await no_word(directory)


async def no_word(directory: Path, besides: Collection[str] = ()) -> None:
    """Of what was deleted: in no file, soon."""
    try:
        await until(lambda: not on_disk(directory, besides), within_s=WORDS_GONE_S)
    except TimeoutError:
        pytest.fail(f"deleted texts on disk: {on_disk(directory, besides)}")


def on_disk(directory: Path, besides: Collection[str] = ()) -> dict[str, set[str]]:
    """The marks of all texts but `besides` that are in some file, by the file's name.

    Not of the tables themselves: where SQLite moves a row to another page, a copy may stay in the gap until that page
    is written anew. That no row has the text is what the proof of a deletion says.
    """
    files = [path for path in directory.rglob("*") if path.is_file() and path.suffix not in TABLES]
    found = {path: {mark.decode() for mark in re.findall(MARK.pattern.encode(), path.read_bytes())} for path in files}
    found = {path: marks - {*besides} for path, marks in found.items()}
    return {str(path.relative_to(directory)): marks for path, marks in found.items() if marks}


async def call(stack: Stack, kdn: str, method: str, path: str, body: Any = None) -> Any:
    return await stack.roles.control(method, path, body, url=stack.roles.kdn_url(kdn))
