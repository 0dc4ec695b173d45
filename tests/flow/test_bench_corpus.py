"""The corpus bench on roles in this process: a small folder registered while requests go on, searched, removed."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from fakes.roles import Roles, config_for, running_with_knowledge
from fakes.until import until

from cacheroute.bench import corpus
from cacheroute.bench.corpus import COLLECTION, Registered, run_corpus
from cacheroute.bench.corpus_files import Corpus
from cacheroute.bench.corpus_removal import remove_all
from cacheroute.bench.corpus_search import search_all
from cacheroute.bench.live_requests import LiveRequests
from cacheroute.client import Client
from cacheroute.errors import UpstreamFailed
from cacheroute.kdn_client import Kdn
from cacheroute.wire.documents import AddDocument
from cacheroute.wire.retrieval import Labelled

HERONS = "The grey herons of lake Ossiach catch pike at dawn, in the reeds of the northern shore."


@pytest.fixture
async def roles(tmp_path: Path) -> AsyncGenerator[Roles]:
    async with running_with_knowledge(config_for(tmp_path)) as started:
        yield started


@pytest.fixture
async def client(roles: Roles) -> AsyncGenerator[Client]:
    async with Client(roles.config, roles.token) as opened:
        yield opened


async def add(kdn: Kdn) -> None:
    await kdn.add(AddDocument(source="/docs/herons.md", title="Herons", text=HERONS, collection=COLLECTION))


async def test_questions_are_judged_by_document_and_those_without_an_answer_by_silence(client: Client) -> None:
    kdn = client.kdns["kdn-1"]
    await add(kdn)

    async def copied() -> bool:
        return (await client.status())["kdns"]["kdn-1"]["copied_blocks"] == 1

    await until(copied)
    asked = (
        Labelled(question="When do the grey herons of lake Ossiach catch pike?", document="herons.md"),
        Labelled(question="Where do the grey herons of lake Ossiach catch pike?", document="storks.md"),
        Labelled(question="Which crane lifts the bridge?"),
    )
    source_of = {block.kid: block.source for block in await kdn.blocks(collection=COLLECTION)}
    result = await search_all(client, asked, source_of)
    assert [row.rank for row in result.rows] == [1, 0, 0]
    assert (result.answerable, result.unanswerable, result.abstained) == (2, 1, 1)
    assert (result.r_at_1, result.r_at_5, result.precision, result.recall) == (0.5, 0.5, 0.5, 0.5)
    assert result.rows[0].accepted == ("/docs/herons.md",)
    assert 0 < result.p50_ms <= result.p95_ms


async def test_a_collection_goes_whole_and_others_stay(client: Client) -> None:
    kdn = client.kdns["kdn-1"]
    await add(kdn)
    await kdn.add(AddDocument(source="storks.md", text="Storks nest on chimneys."))
    removal = await remove_all(kdn, COLLECTION)
    assert (removal.documents, removal.left, removal.documents_left, removal.pending) == (1, 0, 0, ())
    assert {"text", "vectors", "search index"} <= set(removal.looked_at)
    assert [document.source for document in await kdn.documents()] == ["storks.md"]


async def test_requests_keep_their_pace_and_failures_are_told(roles: Roles, client: Client) -> None:
    live = LiveRequests(client.endpoint, roles.engine.model, every_s=0.01)
    await live.warm_up()
    alone = await live.alone(5)
    assert alone.requests >= 3
    assert (alone.failures, alone.with_knowledge) == ((), 0)
    assert alone.median_ms is not None
    assert alone.worst_ms is not None
    assert 0 < alone.median_ms <= alone.worst_ms
    roles.engine.status = 503
    async with live.beside():
        await until(lambda: len(live.said().failures) > 2)
    assert live.said().median_ms is None


async def test_a_run_that_fails_leaves_nothing_behind(
    roles: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "BEFORE_REQUESTS", 1)
    registrations: list[str] = []

    async def register(kdn: Kdn) -> Registered:
        if registrations:
            raise UpstreamFailed("the disk is on fire")
        registrations.append(kdn.name)
        await add(kdn)
        return Registered(files=1, added=1, unchanged=0, failures=(), blocks=1, near_duplicates=0, notes=0,
                          took_s=1.0, parts_ms={})  # fmt: skip

    with pytest.raises(UpstreamFailed, match="on fire"):
        await run_corpus(roles.config, Corpus(folder=tmp_path), register)
    listed = await roles.control("GET", "/v1/documents", url=roles.kdn_url())
    assert (registrations, listed["items"]) == (["kdn-1"], [])
