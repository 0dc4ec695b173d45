"""What a KDN keeps, over its HTTP edge and a real kv store: rot, partial artifacts, a catalogue that broke."""

import asyncio
import os

import pytest
from fakes.kdn_world import KdnWorld, kdn_world, text_of
from fakes.until import until

KB = 2**10


@pytest.fixture
async def world(tmp_path):
    async with kdn_world(tmp_path) as world:
        yield world


async def built(world: KdnWorld, chunks: int = 6, topic: str = "alpha"):
    """An artifact of `chunks` chunks of 256 KB and 4 tokens, built, and out of the store again."""
    if not world.scheduler.instances:
        await world.add_instance(chunk_nbytes=256 * KB)
    artifact = await world.built(await world.add(f"{topic}.md", text_of(4 * chunks, topic)))
    assert len(artifact["keys"]) == chunks
    values = await world.store.read(artifact["keys"])
    await world.store.purge(artifact["keys"])
    return artifact, values


async def without_engines(world: KdnWorld):
    """Nobody there who could build anything."""
    away, world.scheduler.instances = world.scheduler.instances, ()
    await world.renewed()
    return away


def blob(world: KdnWorld, artifact):
    (path,) = (world.data_dir / "kdn").rglob(f"{artifact['id']}.*.kv")
    return path


def flip(path, at):
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def find(world: KdnWorld, *artifacts):
    body = {"kids": [kid for each in artifacts for kid in each["kids"]], "rendering": "chat"}
    return world.ok("POST", "/v1/artifacts/find", body | {"fingerprint": artifacts[0]["fingerprint"]})


async def test_rot_never_reaches_a_store_and_what_is_sound_can_still_be_injected(world):
    artifact, values = await built(world)
    await without_engines(world)
    flip(blob(world, artifact), 2 * 256 * KB + 5)
    status, answer = await world.inject(artifact["id"])
    assert (status, answer["error"]["code"]) == (503, "artifact_rotten")
    assert "chunk 2" in answer["error"]["message"]
    assert "the first 8 of 24 tokens stay" in answer["error"]["message"]
    there = await world.store.read(artifact["keys"])
    assert there[:3] == [None] * 3
    assert all(value in (None, expected) for value, expected in zip(there, values, strict=True))

    found = await find(world, artifact)
    assert (found["artifact"]["n_tokens"], found["artifact"]["whole_tokens"]) == (8, 24)
    assert "8 of 24 tokens" in found["reason"]
    status, receipt = await world.inject(artifact["id"])
    assert (status, receipt["pushed"], receipt["present"], receipt["nbytes"]) == (200, 2, 0, 512 * KB)
    assert (await world.store.read(artifact["keys"]))[:3] == [*values[:2], None]
    (listed,) = (await world.ok("GET", "/v1/artifacts"))["items"]
    assert (listed["n_tokens"], listed["whole_tokens"], listed["nbytes"]) == (8, 24, 512 * KB)


async def test_rot_found_while_injecting_is_built_again_without_anybody_asking(world):
    artifact, values = await built(world)
    flip(blob(world, artifact), 3 * 256 * KB)
    status, answer = await world.inject(artifact["id"])
    assert (status, "queued to be built again as" in answer["error"]["message"]) == (503, True)

    async def whole():
        return (await world.ok("GET", f"/v1/artifacts/{artifact['id']}"))["n_tokens"] == 24

    await until(whole)
    await world.store.purge(artifact["keys"])
    assert (await world.inject(artifact["id"]))[0] == 200
    assert await world.store.read(artifact["keys"]) == values


async def test_verify_says_what_stays_and_which_build_will_bring_the_rest_back(world):
    artifact, _ = await built(world, chunks=3)
    assert await world.ok("POST", f"/v1/artifacts/{artifact['id']}/verify") == {
        "artifact_id": artifact["id"],
        "ok": True,
        "why": "",
        "kept_tokens": 0,
        "rebuild": 0,
    }
    engines = await without_engines(world)
    flip(blob(world, artifact), 256 * KB)
    verdict = await world.ok("POST", f"/v1/artifacts/{artifact['id']}/verify")
    assert (verdict["ok"], verdict["kept_tokens"], "chunk 1" in verdict["why"]) == (False, 4, True)
    world.scheduler.instances = engines
    await world.renewed()

    async def done():
        builds = (await world.ok("GET", "/v1/builds"))["items"]
        return [build["state"] for build in builds if build["id"] == verdict["rebuild"]] == ["built"]

    await until(done)
    assert (await find(world, artifact))["artifact"]["n_tokens"] == 12


async def test_what_is_rotten_from_its_first_byte_is_offered_no_more(world):
    artifact, _ = await built(world, chunks=3)
    await without_engines(world)
    flip(blob(world, artifact), 0)
    verdict = await world.ok("POST", f"/v1/artifacts/{artifact['id']}/verify")
    assert (verdict["ok"], verdict["kept_tokens"]) == (False, 0)
    assert (await world.inject(artifact["id"]))[0] == 404
    assert (await world.ok("GET", "/v1/artifacts"))["items"] == []


async def test_the_whole_artifact_of_fewer_texts_is_better_than_a_shorter_part_of_one_of_more(world):
    one, _ = await built(world, topic="alpha")
    two, _ = await built(world, topic="beta")
    both = await world.built(*one["kids"], *two["kids"])
    await without_engines(world)
    first = next(each for each in (one, two) if each["kids"] == both["kids"][:1])
    last = two if first is one else one
    assert (await find(world, first, last))["artifact"]["id"] == both["id"]
    flip(blob(world, both), (len(first["keys"]) - 1) * 256 * KB)
    await world.ok("POST", f"/v1/artifacts/{both['id']}/verify")
    assert (await find(world, first, last))["artifact"]["id"] == first["id"]


async def test_a_verification_that_takes_long_holds_nothing_else_up(world):
    slow, _ = await built(world, topic="alpha")
    other, _ = await built(world, topic="beta")
    path = blob(world, slow)
    path.unlink()
    os.mkfifo(path)  # whoever opens it waits for somebody who writes
    verifying = asyncio.create_task(world.ok("POST", f"/v1/artifacts/{slow['id']}/verify"))
    assert (await world.ok("POST", f"/v1/artifacts/{other['id']}/pin", {"pinned": True}))["pinned"]
    assert (await world.inject(other["id"]))[0] == 200
    assert (await world.ok("GET", f"/v1/artifacts/{other['id']}"))["pinned"]
    assert not verifying.done()
    os.close(os.open(path, os.O_WRONLY))
    assert (await verifying)["ok"] is False


async def test_a_broken_catalogue_of_artifacts_costs_artifacts_and_no_knowledge(world):
    artifact, values = await built(world)
    assert (await world.ok("GET", "/debug/status"))["artifacts"]["warnings"] == []
    await world.stop_kdn()
    catalogue = world.data_dir / "kdn" / "kdn-1" / "artifacts.sqlite"
    catalogue.write_bytes(b"no database" * 1000)
    await world.start_kdn()
    await world.renewed()
    (warning,) = (await world.ok("GET", "/debug/status"))["artifacts"]["warnings"]
    assert "artifacts.sqlite.corrupt-" in warning
    assert (await world.ok("GET", "/v1/artifacts"))["items"] == []
    assert (await find(world, artifact))["artifact"] is None
    assert (await world.built(*artifact["kids"]))["id"] == artifact["id"]
    await world.store.purge(artifact["keys"])
    assert (await world.inject(artifact["id"]))[0] == 200
    assert await world.store.read(artifact["keys"]) == values


@pytest.mark.parametrize("name", ["builds.sqlite", "wishes.sqlite"])
async def test_a_broken_file_of_what_only_saves_time_is_begun_anew(world, name):
    await world.add("a.md", "what is known")
    await world.stop_kdn()
    (world.data_dir / "kdn" / "kdn-1" / name).write_bytes(b"no database" * 1000)
    await world.start_kdn()
    await world.renewed()
    assert [each["source"] for each in (await world.ok("GET", "/v1/documents"))["items"]] == ["a.md"]
    assert (await world.ok("GET", "/v1/builds"))["items"] == []
    assert list((world.data_dir / "kdn" / "kdn-1").glob(f"{name}.corrupt-*"))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/artifacts/find", {"kids": ["a"] * 65, "rendering": "chat", "fingerprint": "f"}),
        ("/v1/artifacts/find", {"kids": ["a"], "rendering": "chat", "fingerprint": "f" * 65}),
        ("/v1/artifacts", {"kids": ["a"] * 65}),
        ("/v1/builds", {"sets": [["a"] * 65]}),
        ("/v1/builds", {"sets": [["a"]], "fingerprint": "f" * 65}),
    ],
)
async def test_more_blocks_than_a_prompt_can_have_are_refused_before_anybody_looks_for_them(world, path, body):
    status, answer = await world.call("POST", path, body)
    assert (status, answer["error"]["code"]) == (400, "bad_request")
