"""The engine role before it is ready, and when it never will be."""

import asyncio
from pathlib import Path

import pytest
from fakes.ports import free_port
from fakes.running_engine import CHAT, RunningEngine

from cacheroute.config import Config, Paths
from cacheroute.engine.app import planes
from cacheroute.engine.config import EngineConfig
from cacheroute.errors import ConfigError


def config(tmp_path: Path, **settings: object) -> Config:
    engine = EngineConfig(port=free_port(), **settings)  # type: ignore[arg-type]
    return Config(paths=Paths(state=str(tmp_path), data=str(tmp_path / "data")), engine={"engine-1": engine})


async def test_an_engine_without_its_model_says_so_and_serves_nothing(tmp_path: Path):
    with RunningEngine(config(tmp_path, model=str(tmp_path / "nowhere"))) as engine:
        async with engine.session() as session:
            while True:
                async with session.get("/health") as response:
                    body = await response.json()
                    assert response.status == 503
                    assert "Retry-After" in response.headers
                if "cannot be loaded" in body["error"]["message"]:
                    break
                await asyncio.sleep(0.05)
        assert "nowhere" in body["error"]["message"]
        for path, sent in ((CHAT, {"messages": []}), ("/tokenize", {"prompt": "x"}), ("/reset_prefix_cache", {})):
            status, _, _ = await engine.post(path, sent)
            assert status == 503, path


async def test_somebody_elses_engine_is_not_started(tmp_path: Path):
    with pytest.raises(ConfigError, match="openai"):
        await planes(config(tmp_path, kind="openai", url="http://127.0.0.1:1"), "engine-1")
