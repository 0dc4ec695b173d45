"""What stories share: one real engine beside one real kv store, since a model takes seconds to load."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.ports import free_port
from fakes.running_engine import RunningEngine
from fakes.valkey import Valkey

from cacheroute import tokens
from cacheroute.config import Config, Paths
from cacheroute.engine.config import EngineConfig


@pytest.fixture(scope="session")
def engine_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="session")
def engine_store(engine_state: Path) -> Iterator[Valkey]:
    with Valkey(engine_state, tokens.ensure(engine_state), maxmemory_mb=1024) as valkey:
        yield valkey


@pytest.fixture(scope="session")
def engine_config(engine_state: Path, engine_store: Valkey) -> Config:
    return Config(
        paths=Paths(state=str(engine_state)),
        kvstore={engine_store.name: engine_store.config},
        engine={"engine-1": EngineConfig(port=free_port(), max_streams=8, max_waiting=4, default_max_tokens=40)},
    )


@pytest.fixture(scope="session")
def engine(engine_config: Config) -> Iterator[RunningEngine]:
    with RunningEngine(engine_config) as running:
        asyncio.run(running.ready())
        yield running
