"""One KDN on real sockets: knowledge in, KV built on an instance, injected into a kv store that has lost it."""

import pytest
from fakes.kdn_world import kdn_world, text_of


@pytest.fixture
async def world(tmp_path):
    async with kdn_world(tmp_path) as world:
        yield world


async def test_what_an_instance_computed_comes_back_byte_for_byte_after_the_store_lost_it(world):
    instance = await world.add_instance()
    text = text_of(22, "alpha")
    artifact = await world.built(await world.add("a.md", text))
    assert artifact["keys"] == list(instance.keys([text]))
    assert (artifact["n_tokens"], len(artifact["keys"])) == (20, 5)
    assert artifact["nbytes"] == 5 * instance.chunk_nbytes

    world.valkey.kill()
    world.valkey.start()
    status, receipt = await world.inject(artifact["id"])
    assert status == 200
    assert (receipt["present"], receipt["pushed"], receipt["nbytes"]) == (0, 5, artifact["nbytes"])
    assert await world.store.read(artifact["keys"]) == [instance.value(key) for key in artifact["keys"]]


async def test_only_what_is_missing_is_pushed(world):
    """D10: a resident artifact costs one touch; a partly evicted one, its missing chunks."""
    await world.add_instance()
    artifact = await world.built(await world.add("a.md", text_of(22, "alpha")))
    _, receipt = await world.inject(artifact["id"])
    assert (receipt["present"], receipt["pushed"], receipt["nbytes"]) == (5, 0, 0)
    await world.store.purge([artifact["keys"][1], artifact["keys"][4]])
    _, receipt = await world.inject(artifact["id"])
    assert (receipt["present"], receipt["pushed"]) == (3, 2)
    assert await world.store.missing(artifact["keys"]) == []
