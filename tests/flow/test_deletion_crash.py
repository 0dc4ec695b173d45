"""Whatever step of a deletion a KDN is killed at: once it runs again, nothing of the text is left anywhere."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from fakes import dying_kdn
from fakes.kdn_world import KdnWorld, kdn_world, text_of
from fakes.until import until

pytestmark = pytest.mark.slow

UNBUILT = ("PurgeJournal.plan:after", "Library.delete:after", "PurgeJournal.ask:before")
"""Steps at which the text has no artifact, so that nothing but the journal can tell that there is something to do."""


@asynccontextmanager
async def dying(world: KdnWorld, tmp_path: Path, step: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    config = tmp_path / "config.json"
    config.write_bytes(msgspec.json.encode(world.config))
    fakes = Path(dying_kdn.__file__).parents[1]
    command = [sys.executable, "-m", "fakes.dying_kdn", str(config), step]
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, "PYTHONPATH": str(fakes)})
    try:
        await until(lambda: answers(world), within_s=20)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def answers(world: KdnWorld) -> bool:
    try:
        return bool((await world.ok("GET", "/debug/status"))["instances"])
    except aiohttp.ClientError:
        return False


def words_on_disk(world: KdnWorld, word: str) -> list[str]:
    files = (path for path in (world.data_dir / "kdn").rglob("*") if path.is_file())
    return [path.name for path in files if word.encode() in path.read_bytes()]


@pytest.mark.parametrize("step", dying_kdn.STEPS)
async def test_killed_at_any_step_of_a_deletion_it_ends_it_when_it_runs_again(tmp_path, step):
    async with kdn_world(tmp_path, request_timeout_s=0.2) as world:
        instance = await world.add_instance(cached=7)
        text = text_of(21, "alpha") + " xylograph"
        await world.stop_kdn()
        async with dying(world, tmp_path, step) as process:
            kid = await world.add("a.md", text)
            artifact = await world.built(kid) if step not in UNBUILT else {"id": "none", "keys": []}
            kept = await world.built(await world.add("b.md", text_of(22, "beta")))
            mixed = list(instance.keys([text, text_of(9, "question")]))
            await world.store.write([(key, instance.value(key)) for key in mixed])
            with pytest.raises(aiohttp.ClientError):
                await world.ok("DELETE", "/v1/documents", source="a.md")
            assert await process.wait() == -9

        await world.start_kdn()
        await world.renewed()
        if [each["source"] for each in (await world.ok("GET", "/v1/documents"))["items"]] == ["a.md", "b.md"]:
            await world.ok("DELETE", "/v1/documents", source="a.md")  # it died before it began

        async def nothing_to_do() -> bool:
            return await world.purges() == []

        await until(nothing_to_do)
        assert await world.lacks([*artifact["keys"], *mixed])
        assert await world.store.missing(kept["keys"]) == []
        assert instance.cached == 0
        assert [each["id"] for each in (await world.ok("GET", "/v1/artifacts"))["items"]] == [kept["id"]]
        assert [path.name for path in (world.data_dir / "kdn").rglob("*.kv*") if artifact["id"] in path.name] == []
        assert words_on_disk(world, "xylograph") == []
        assert words_on_disk(world, "beta7") != []
