"""Hours of one real engine beside one real kv store, while chunks vanish and clients leave: the same question at
temperature 0 has the same answer as the first time, however much of it is computed, loaded or found.
"""

import asyncio
import time
from pathlib import Path

import pytest
from fakes.ports import free_port
from fakes.running_engine import RunningEngine
from fakes.valkey import Valkey
from soak.engine_operations import EngineOperations, EngineTroubles
from soak.footprint import Footprint, grown
from soak.journal import Journal

from cacheroute import tokens
from cacheroute.config import Config, Paths
from cacheroute.engine.config import EngineConfig

pytestmark = pytest.mark.soak

WORKERS = 6
ROUND_S = 10.0
REST_S = 60.0
MORE_RSS_MB = 256
"""Seen: 170 MB over the first 190 operations, ever more slowly. A slab left behind by each request is far more."""


async def test_the_same_question_has_the_same_answer_and_every_slab_comes_back(
    tmp_path: Path, soak_s: float, journal: Journal
):
    secrets = tokens.ensure(tmp_path)
    with Valkey(tmp_path, secrets, maxmemory_mb=128) as valkey:
        settings = EngineConfig(port=free_port(), max_streams=4, max_waiting=4, prefix_cache_mb=12)
        config = Config(
            paths=Paths(state=str(tmp_path)), kvstore={valkey.name: valkey.config}, engine={"engine-1": settings}
        )
        with RunningEngine(config) as engine:
            await engine.ready()
            async with engine.session() as session:
                operations = EngineOperations(engine, session, journal)
                troubles = EngineTroubles(engine, valkey, secrets.kv_password, journal)
                rounds: list[Footprint] = []
                until_s = time.monotonic() + soak_s
                while time.monotonic() < until_s:
                    over = asyncio.Event()
                    asyncio.get_running_loop().call_later(min(ROUND_S, until_s - time.monotonic()), over.set)
                    async with asyncio.TaskGroup() as group:
                        for worker in range(WORKERS):
                            group.create_task(operations.go_on(worker, journal.rng(len(rounds), worker), over))
                        group.create_task(troubles.go_on(journal.rng(len(rounds), "troubles"), over))
                    async with asyncio.timeout(REST_S):
                        await engine.idle()
                    rounds.append(Footprint.now())
                    journal.notes.append(f"round {len(rounds)}: {rounds[-1]}")
                journal.notes.append(
                    f"{len(operations.first)} questions, {operations.again} asked again; prompt tokens computed: "
                    f"{await engine.metric('prompt_tokens_by_source', source='computed'):.0f}, from the prefix cache: "
                    f"{await engine.metric('prompt_tokens_by_source', source='prefix_cache'):.0f}, from the kv store: "
                    f"{await engine.metric('prompt_tokens_by_source', source='kv_store'):.0f}"
                )
                assert await engine.metric("prefix_cache_bytes") <= settings.prefix_cache_mb * 2**20
                assert operations.again > 0
                assert await engine.metric("prompt_tokens_by_source", source="kv_store") > 0
                assert grown(rounds, rss_mb=MORE_RSS_MB) == []
    assert journal.log.lines == []
