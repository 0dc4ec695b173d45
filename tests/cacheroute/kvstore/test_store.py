import asyncio
import time

import pytest
from fakes.ports import free_port
from fakes.valkey import Valkey

from cacheroute.errors import Unavailable
from cacheroute.keys import KeyScheme
from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.kvstore.link import Extent
from cacheroute.kvstore.store import KvStore, socket_path, store_url
from cacheroute.tokens import Tokens

TOKENS = Tokens(control="control", kv_password="secret")
MB = 2**20


@pytest.fixture
def valkey(tmp_path):
    with Valkey(tmp_path, TOKENS) as valkey:
        yield valkey


@pytest.fixture(params=["unix", "tcp"])
async def store(request, valkey, tmp_path):
    store = KvStore("kv-1", valkey.config, TOKENS, tmp_path if request.param == "unix" else None)
    yield store
    await store.close()


async def test_a_state_directory_may_have_any_name(tmp_path):
    state_dir = tmp_path / 'of "mine" \\ yours'
    with Valkey(state_dir, TOKENS) as valkey:
        store = KvStore("kv-1", valkey.config, TOKENS, state_dir)
        await store.write([("a", b"one")])
        assert await store.read(["a"]) == [b"one"]
        assert socket_path(state_dir, "kv-1").is_socket()
        await store.close()


@pytest.mark.parametrize(("host", "dialled"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")])
def test_a_store_is_dialled_where_it_is_bound(host, dialled):
    assert store_url(KvStoreConfig(host=host, port=7), TOKENS) == f"redis://:secret@{dialled}:7/0"


async def test_what_was_written_is_read_and_what_was_not_is_missing(store):
    await store.write([("a", b"one"), ("c", memoryview(b"x" * (3 * MB)))])
    assert await store.read(["a", "b", "c"]) == [b"one", None, b"x" * (3 * MB)]
    assert await store.missing(["a", "b", "c", "d"]) == [1, 3]
    assert await store.purge(["a", "b"]) == 1
    assert await store.missing(["a", "c"]) == [0]


async def test_a_value_is_sent_out_of_a_file_byte_for_byte(store, tmp_path):
    content = bytes(range(256)) * (8 * MB // 256)
    (tmp_path / "blob").write_bytes(content)
    with (tmp_path / "blob").open("rb", buffering=0) as file:
        await store.write([("tail", Extent(file, 5 * MB, 3 * MB)), ("head", Extent(file, 0, 5 * MB))])
    assert await store.read(["head", "tail"]) == [content[: 5 * MB], content[5 * MB :]]


async def test_a_file_that_is_too_short_leaves_nothing_half_written(store, tmp_path):
    (tmp_path / "blob").write_bytes(b"x" * MB)
    with (tmp_path / "blob").open("rb", buffering=0) as file, pytest.raises(Unavailable, match="a file ended"):
        await store.write([("whole", Extent(file, 0, MB)), ("cut", Extent(file, MB // 2, MB))])
    assert await store.missing(["whole", "cut"]) == [1]


async def test_a_sweep_takes_a_models_chunks_but_those_kept_and_nothing_else(store):
    """D11: other programs' keys are never touched, however much they look like ours."""
    scheme = KeyScheme(model="/models/a[1]*", chunk_tokens=1)
    ours = scheme.keys(range(2500))
    chunk = ours[0].partition("@")[2]
    foreign = ["session:7", "/models/a[1]*", "/models/a[1]*@cart", f"/models/a1x@{chunk}", f"/models/a[1]*2@{chunk}"]
    await store.write([(key, b"x") for key in (*ours, *foreign)])
    await store.run(lambda link: link.call("LPUSH", "queue", "job"))
    kept = frozenset(ours[::5])
    assert await store.sweep(scheme.model, kept.__contains__) == 2000
    assert await store.missing([*kept, *foreign, "queue"]) == []
    assert len(await store.missing(ours)) == 2000
    assert await store.sweep(scheme.model, kept.__contains__) == 0


async def test_a_store_counts_its_changes(store, valkey):
    before = await store.changes()
    await store.missing(["a"])
    assert await store.changes() == before
    await store.write([("a", b"1"), ("b", b"2")])
    await store.purge(["a", "c"])
    after = await store.changes()
    assert (after[:2], after[2]) == (before[:2], before[2] + 3)
    valkey.kill()
    valkey.start()
    assert (await store.changes())[0] != before[0]


async def test_nothing_asked_is_nothing_done(store):
    assert await store.missing([]) == []
    assert await store.read([]) == []
    assert await store.purge([]) == 0


async def test_a_restarted_store_is_used_again_at_the_next_call(store, valkey):
    await store.write([("a", b"1")])
    valkey.kill()
    with pytest.raises(Unavailable, match="kv store kv-1"):
        await store.missing(["a"])
    valkey.start()
    assert await store.missing(["a"]) == [0]


async def test_idle_links_of_a_store_that_restarted_unnoticed_are_replaced(store, valkey):
    await asyncio.gather(*(store.write([(f"k{n}", b"1")]) for n in range(4)))
    valkey.kill()
    valkey.start()
    assert await store.missing(["k0"]) == [0]


async def test_a_frozen_store_costs_its_timeout_and_no_more(store, valkey):
    await store.write([("a", b"1")])
    valkey.freeze()
    start_s = time.monotonic()
    with pytest.raises(Unavailable, match="kv store kv-1"):
        await store.run(lambda link: link.touch(["a"]), timeout_s=0.1)
    assert time.monotonic() - start_s < 2
    valkey.thaw()
    assert await store.read(["a"]) == [b"1"]


async def test_cancelling_a_write_frees_its_thread_and_half_writes_nothing(store, valkey):
    valkey.freeze()
    big = bytes(64 * MB)
    writes = [asyncio.create_task(store.write([(f"k{n}", big)])) for n in range(8)]
    await asyncio.sleep(0.1)
    for write in writes:
        write.cancel()
    await asyncio.gather(*writes, return_exceptions=True)
    valkey.thaw()
    assert await store.missing([f"k{n}" for n in range(8)]) == list(range(8))


async def test_the_loop_goes_on_while_a_store_does_not_answer(store, valkey):
    valkey.freeze()
    waiting = asyncio.create_task(store.run(lambda link: link.touch(["a"]), timeout_s=0.3))
    turns = 0
    while not waiting.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 50
    with pytest.raises(Unavailable):
        await waiting


async def test_a_wrong_password_is_unavailable_and_not_told(valkey):
    store = KvStore("kv-1", valkey.config, Tokens(control="", kv_password="not-the-one"))
    with pytest.raises(Unavailable, match="WRONGPASS") as refused:
        await store.missing(["a"])
    assert "not-the-one" not in refused.value.message
    await store.close()


async def test_a_store_of_ones_own_is_reached_by_its_url_and_database(valkey):
    url = f"redis://:secret@127.0.0.1:{valkey.config.port}/3"
    own, first = KvStore("own", KvStoreConfig(url=url), TOKENS), KvStore("kv-1", valkey.config, TOKENS)
    await own.write([("a", b"1")])
    assert (await own.missing(["a"]), await first.missing(["a"])) == ([], [0])
    await own.close()
    await first.close()


async def test_without_a_socket_file_tcp_is_used(valkey, tmp_path):
    socket_path(tmp_path, "kv-1").unlink()
    store = KvStore("kv-1", valkey.config, TOKENS, tmp_path)
    assert "valkey_version" in await store.info()
    await store.close()


async def test_nobody_there_is_unavailable(tmp_path):
    store = KvStore("kv-9", KvStoreConfig(port=free_port()), TOKENS, tmp_path)
    with pytest.raises(Unavailable, match="kv store kv-9"):
        await store.info()
    await store.close()
