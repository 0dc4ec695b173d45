"""A deleted text is gone everywhere, and that is shown by looking: rows, blobs, kv stores, engines' own caches."""

import asyncio

import msgspec
import pytest
from fakes.kdn_world import KdnWorld, kdn_world, text_of
from fakes.roles import Roles, config_for, running_with_knowledge
from fakes.until import until


@pytest.fixture
async def world(tmp_path):
    async with kdn_world(tmp_path) as world:
        yield world


@pytest.fixture
async def brief(tmp_path):
    """Where no request takes longer than a moment, so that the second purge comes soon."""
    async with kdn_world(tmp_path, request_timeout_s=1.0) as world:
        yield world


VALVES = "The Kelmar valve opens at seven bar. It was tested in the Dunlin harbour by two engineers."
FERRIES = "The Dunlin ferry leaves at noon. It carries forty carts and a brass bell to the Kelmar island."
QUESTION = "At how many bar does the Kelmar valve open?"


async def traffic(world: KdnWorld, instance, *texts: str) -> list[str]:
    """What an engine leaves in its store of a prompt that nobody keeps; returns the keys."""
    keys = list(instance.keys([*texts, text_of(9, "question")]))
    await world.store.write([(key, instance.value(key)) for key in keys])
    return keys


async def deleted(world: KdnWorld, source: str) -> dict:
    return await world.ok("DELETE", "/v1/documents", source=source)


def left(gone: dict) -> dict[str, int]:
    return {proof["place"]: proof["left"] for proof in gone["proof"]}


async def scans(world: KdnWorld) -> int:
    """How many steps of a sweep a store has seen."""
    stats = await world.store.run(lambda link: link.call("INFO", "commandstats"))
    lines = [line for line in stats.decode().splitlines() if line.startswith("cmdstat_scan:")]
    return int(lines[0].partition("calls=")[2].partition(",")[0]) if lines else 0


async def test_each_place_is_looked_at_and_nothing_is_left(world):
    instance = await world.add_instance(cached=7)
    text = text_of(22, "alpha")
    artifact = await world.built(await world.add("a.md", text))
    kept = await world.built(await world.add("b.md", text_of(22, "beta")))
    mixed = await traffic(world, instance, text)
    foreign = ["session:7", f"/models/another@{mixed[0].partition('@')[2]}", f"{instance.engine.key_model}@cart"]
    await world.store.write([(key, b"x") for key in foreign])

    gone = await deleted(world, "a.md")

    places = ["text", "vectors", "search index", "blobs", "kv store kv-1", "engine instance-1"]
    assert left(gone) == dict.fromkeys(places, 0)
    assert (gone["pending"], gone["notes"]) == ([], [])
    assert gone["purged"] == {"kv-1": len({*artifact["keys"], *mixed})}
    assert await world.lacks([*artifact["keys"], *mixed])
    assert await world.store.missing([*kept["keys"], *foreign]) == []
    assert (instance.resets, instance.cached) == (1, 0)


async def test_a_text_that_was_never_built_leaves_no_chunk_of_its_traffic(world):
    instance = await world.add_instance()
    text = text_of(22, "alpha")
    await world.add("a.md", text)
    keys = await traffic(world, instance, text)
    gone = await deleted(world, "a.md")
    assert (gone["artifacts"], gone["purged"]) == ([], {"kv-1": len(keys)})
    assert await world.lacks(keys)


async def test_a_new_version_takes_the_traffic_of_the_old_one_with_it(world):
    instance = await world.add_instance(cached=7)
    await world.add("a.md", text_of(22, "alpha"))
    keys = await traffic(world, instance, text_of(22, "alpha"))
    await world.add("a.md", text_of(22, "other"))
    await until(lambda: world.lacks(keys))
    await until(lambda: instance.cached == 0)


async def test_what_a_request_under_way_puts_back_goes_too(brief):
    instance = await brief.add_instance()
    text = text_of(22, "alpha")
    await brief.add("a.md", text)
    assert await brief.purges() == []
    await deleted(brief, "a.md")
    assert {(each["place"], each["stage"]) for each in await brief.purges()} >= {("kv store kv-1", "again")}
    keys = await traffic(brief, instance, text)
    instance.cached = 3

    async def nothing_to_do() -> bool:
        return await brief.purges() == []

    await until(nothing_to_do)
    assert await brief.lacks(keys)
    assert instance.cached == 0


@pytest.mark.slow
async def test_what_cannot_be_reached_is_named_and_purged_when_it_is_back(tmp_path):
    async with kdn_world(tmp_path, stores=2) as world:
        instance = await world.add_instance()
        artifact = await world.built(await world.add("a.md", text_of(22, "alpha")))
        await world.inject(artifact["id"], store="kv-2")
        await until(lambda: remembered(world))
        world.valkeys["kv-2"].freeze()
        world.scheduler.instances = ()
        await world.renewed()

        gone = await deleted(world, "a.md")
        assert gone["pending"] == ["kv store kv-2", "engine instance-1"]
        assert set(left(gone)) == {"text", "vectors", "search index", "blobs", "kv store kv-1"}
        assert instance.resets == 0
        await world.stop_kdn()
        await world.start_kdn()
        assert {each["place"] for each in await world.purges()} >= {"kv store kv-2", "engine instance-1"}

        world.valkeys["kv-2"].thaw()
        world.scheduler.instances = (instance.record,)
        await until(lambda: world.lacks(artifact["keys"], "kv-2"), within_s=20)
        await until(lambda: instance.resets == 1)


async def remembered(world: KdnWorld) -> bool:
    """Whether the KDN has had the time to put on disk whom it met: it is asked once a round."""
    seen = world.data_dir / "kdn" / "kdn-1" / "purges.sqlite-wal"
    return b"instance-1" in seen.read_bytes()


async def test_an_engine_that_cannot_forget_now_is_asked_again(world):
    instance = await world.add_instance(cached=7)
    await world.add("a.md", text_of(22, "alpha"))
    instance.status = 503
    gone = await deleted(world, "a.md")
    assert gone["pending"] == ["engine instance-1"]
    assert "HTTP 503" in gone["notes"][0]
    instance.status = 200
    await until(lambda: instance.cached == 0)


async def test_an_engine_whose_cache_nobody_can_empty_is_named(world):
    instance = await world.add_instance()
    theirs = msgspec.structs.replace(instance.engine, kind="openai", key_model="")
    world.scheduler.instances = (msgspec.structs.replace(instance.record, name="theirs", engine=theirs),)
    await world.renewed()
    await world.add("a.md", text_of(22, "alpha"))
    gone = await deleted(world, "a.md")
    assert "engine theirs" not in left(gone)
    assert [note for note in gone["notes"] if note.startswith("theirs")] != []


async def test_a_text_that_another_document_has_is_left_alone(world):
    instance = await world.add_instance(cached=7)
    text = text_of(22, "alpha")
    await world.add("a.md", text)
    await world.add("copy.md", text)
    keys = await traffic(world, instance, text)
    gone = await deleted(world, "a.md")
    assert (gone["proof"], gone["pending"], gone["purged"]) == ([], [], {})
    assert await world.purges() == []
    assert await world.store.missing(keys) == []
    assert instance.resets == 0


async def test_what_is_not_there_is_not_purged_for(world):
    instance = await world.add_instance()
    assert (await world.call("DELETE", "/v1/documents", source="nowhere.md"))[0] == 404
    assert await world.purges() == []
    assert (await scans(world), instance.resets) == (0, 0)


async def test_documents_that_replace_nothing_disturb_no_store_and_no_engine(world):
    instance = await world.add_instance(cached=7)
    added = [world.add(f"{number}.md", text_of(6, f"topic{number}x")) for number in range(20)]
    await asyncio.gather(*added)
    assert await world.purges() == []
    assert (await scans(world), instance.resets, instance.cached) == (0, 0, 7)


async def test_a_hundred_deletions_do_not_scan_a_store_a_hundred_times(world):
    await world.add_instance()
    for number in range(100):
        await world.add(f"{number}.md", text_of(6, f"topic{number}x"))
    artifact = await world.built(await world.add("last.md", text_of(22, "last")))
    await world.store.write([(f"session:{number}", b"x") for number in range(500)])
    for number in range(50):
        await deleted(world, f"{number}.md")
    await asyncio.gather(*(deleted(world, f"{number}.md") for number in range(50, 100)))
    await deleted(world, "last.md")
    assert await world.lacks(artifact["keys"])
    assert await scans(world) <= 4


async def test_a_build_of_another_text_is_not_disturbed(world):
    instance = await world.add_instance()
    kid, text = await world.add("b.md", text_of(22, "beta")), text_of(22, "alpha")
    await world.add("a.md", text)
    keys = await traffic(world, instance, text)
    under_way = list(instance.keys([text_of(22, "beta")]))
    await world.store.write([(key, instance.value(key)) for key in under_way[1:]])
    instance.gate.clear()
    building = asyncio.create_task(world.built(kid))
    await until(lambda: instance.prefills == 1)
    await deleted(world, "a.md")
    assert await world.lacks(keys)
    assert await world.store.missing(under_way) == [0]
    instance.gate.set()
    assert (await building)["keys"] == under_way


async def test_keys_of_an_engine_that_is_gone_are_still_known_after_a_start(world):
    instance = await world.add_instance()
    text = text_of(22, "alpha")
    await world.add("a.md", text)
    keys = await traffic(world, instance, text)
    await until(lambda: remembered(world))
    world.scheduler.instances = ()
    await world.stop_kdn()
    await world.start_kdn()
    gone = await deleted(world, "a.md")
    assert (gone["pending"], gone["purged"]) == (["engine instance-1"], {"kv-1": len(keys)})


async def held_keys(roles: Roles) -> set[str]:
    """Every key of the store."""
    keys = await roles.engine.store.run(lambda link: link.call("KEYS", "*"))
    return {key.decode() for key in keys}


async def test_after_a_deletion_no_prompt_with_the_text_finds_anything_of_it(tmp_path):
    async with running_with_knowledge(config_for(tmp_path)) as roles:
        roles.engine.cache = set()
        ferries = await roles.learn("ferries.md", FERRIES)
        valves = await roles.learn("valves.md", VALVES)
        prompts = []
        for kids in (valves, valves + ferries):
            for mode in ("text", "kv"):
                _, headers, _ = await roles.chat("why?", knowledge_ids=kids, Injection_type=mode)
                assert headers["X-CacheRoute-Injection"] == mode
                prompts.append(roles.engine.bodies[-1])
        assert (await roles.chat(QUESTION))[1]["X-CacheRoute-Knowledge"] == valves[0]
        _, _, answer = await roles.chat("why?", knowledge_ids=valves, Injection_type="text")
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] > len(VALVES) - roles.engine.chunk_tokens
        (kept,) = (await roles.control("GET", f"/v1/artifacts?kid={ferries[0]}", url=roles.kdn_url()))["items"]
        kept = await roles.control("GET", f"/v1/artifacts/{kept['id']}", url=roles.kdn_url())

        gone = await roles.control("DELETE", "/v1/documents?source=valves.md", url=roles.kdn_url())

        assert [proof for proof in gone["proof"] if proof["left"]] == []
        assert (len(gone["proof"]), gone["pending"]) == (6, [])
        assert await held_keys(roles) <= set(kept["keys"])
        assert roles.engine.cache == set()
        for prompt in prompts:
            url = f"http://127.0.0.1:{roles.config.engine['engine-1-1'].port}/v1/chat/completions"
            answer = await roles.control("POST", "", prompt, url=url)
            assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
            roles.engine.cache.clear()
        found = await roles.control("POST", "/v1/search", {"query": QUESTION}, url=roles.kdn_url())
        assert valves[0] not in str(found)

        async def unknown() -> bool:
            return (await roles.chat(knowledge_ids=valves))[0] == 404

        await until(unknown)
        assert valves[0] not in (await roles.chat(QUESTION))[1]["X-CacheRoute-Knowledge"]
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert [path for path in files if b"engineers" in path.read_bytes()] == []
        assert [path.name for path in files if b"brass bell" in path.read_bytes()] != []


async def test_what_another_kdn_has_in_the_same_store_comes_back_when_it_is_asked_for(tmp_path):
    async with running_with_knowledge(config_for(tmp_path, kdns=2)) as roles:
        await roles.learn("valves.md", VALVES, kdn="kdn-1")
        ferries = await roles.learn("ferries.md", FERRIES, kdn="kdn-2")
        gone = await roles.control("DELETE", "/v1/documents?source=valves.md", url=roles.kdn_url("kdn-1"))
        assert gone["purged"]["kv-1"] > 0
        assert await held_keys(roles) == set()
        _, headers, _ = await roles.chat("why?", knowledge_ids=ferries, Injection_type="kv")
        assert (headers["X-CacheRoute-Injection"], headers["X-CacheRoute-Knowledge"]) == ("kv", ferries[0])
        (held,) = (await roles.control("GET", "/v1/artifacts", url=roles.kdn_url("kdn-2")))["items"]
        held = await roles.control("GET", f"/v1/artifacts/{held['id']}", url=roles.kdn_url("kdn-2"))
        assert await held_keys(roles) == set(held["keys"])
