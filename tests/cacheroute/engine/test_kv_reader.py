"""Loading from a real Valkey, and through a relay that cuts the line in the middle."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from fakes.valkey import Valkey

from cacheroute.engine.embedded.kv_link import KvLink
from cacheroute.engine.embedded.kv_reader import KvReader
from cacheroute.engine.embedded.kv_writer import Batch, KvWriter
from cacheroute.engine.embedded.slab import KVSlab
from cacheroute.engine.metrics import EngineMetrics
from cacheroute.kvstore.link import Target
from cacheroute.kvstore.store import store_url
from cacheroute.telemetry import Metrics
from cacheroute.tokens import Tokens

TOKENS = Tokens(control="control", kv_password="secret")
CHUNK = 16
LAYERS, HEADS, DIM = 4, 2, 64


class CuttingRelay:
    """A TCP relay before the store that closes each connection after `cut_after` bytes of answers; None: never."""

    def __init__(self, port: int) -> None:
        self.cut_after: int | None = None
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            store = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=self._pump, args=(client, store, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(store, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        passed = 0
        try:
            while data := source.recv(8192):
                if answers and self.cut_after is not None and passed + len(data) > self.cut_after:
                    sink.sendall(data[: self.cut_after - passed])
                    break
                passed += len(data)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path, TOKENS) as valkey:
        yield valkey


@pytest.fixture
def raw(valkey: Valkey) -> Iterator[redis.Redis]:
    client = redis.Redis(port=valkey.config.port, password=TOKENS.kv_password)
    yield client
    client.close()


def reader(url: str, slab: KVSlab) -> KvReader:
    link = KvLink(Target(url), 0.25, "load", lambda: None)
    return KvReader(link, CHUNK, slab.chunk_nbytes(CHUNK), EngineMetrics(Metrics("engine")))


def values(slab: KVSlab, count: int) -> dict[str, bytes]:
    return {f"k{index}": os.urandom(slab.chunk_nbytes(CHUNK)) for index in range(count)}


def slab() -> KVSlab:
    return KVSlab(LAYERS, HEADS, DIM, 8 * CHUNK)


def test_a_run_of_chunks_lands_in_the_slab_byte_for_byte(valkey: Valkey, raw: redis.Redis):
    target = slab()
    chunks = values(target, 4)
    raw.mset(chunks)
    target.load_chunk(0, CHUNK, chunks["k0"])
    assert reader(store_url(valkey.config, TOKENS), target).load(target, ["k1", "k2", "k3"]) == 3
    assert [target.chunk_bytes(index, CHUNK) for index in range(4)] == list(chunks.values())


def test_a_gap_ends_the_run(valkey: Valkey, raw: redis.Redis):
    target = slab()
    raw.mset({key: value for key, value in values(target, 4).items() if key != "k2"})
    assert reader(store_url(valkey.config, TOKENS), target).load(target, ["k0", "k1", "k2", "k3"]) == 2
    assert target.length == 2 * CHUNK


def test_a_store_that_dies_in_the_middle_leaves_what_had_come_and_serves_again_later(valkey: Valkey, raw: redis.Redis):
    target = slab()
    chunks = values(target, 6)
    raw.mset(chunks)
    relay = CuttingRelay(valkey.config.port)
    relay.cut_after = 3 * target.chunk_nbytes(CHUNK) + 1000
    loads = reader(f"redis://:{TOKENS.kv_password}@127.0.0.1:{relay.port}/0", target)
    had = loads.load(target, list(chunks))
    assert had == 3 == target.length // CHUNK
    assert [target.chunk_bytes(i, CHUNK) for i in range(had)] == list(chunks.values())[:had]
    relay.cut_after = None
    while target.length < 6 * CHUNK:  # after a failure the store is left alone for a moment
        loads.load(target, list(chunks)[target.length // CHUNK :])
        time.sleep(0.01)
    assert [target.chunk_bytes(i, CHUNK) for i in range(6)] == list(chunks.values())
    relay.close()


def test_a_store_that_hangs_costs_a_bounded_wait_and_then_none(valkey: Valkey, raw: redis.Redis):
    target = slab()
    raw.mset(values(target, 2))
    loads = reader(store_url(valkey.config, TOKENS), target)
    valkey.freeze()
    started_s = time.monotonic()
    assert loads.load(target, ["k0", "k1"]) == 0
    first_s = time.monotonic() - started_s
    assert loads.load(target, ["k0", "k1"]) == 0
    assert time.monotonic() - started_s - first_s < first_s / 2, "left alone for a while after a failure"
    assert first_s < 1.5
    valkey.thaw()


def test_a_batch_is_stored_and_only_what_is_missing_is_sent_again(valkey: Valkey, raw: redis.Redis):
    metrics = EngineMetrics(Metrics("engine"))
    writer = KvWriter(KvLink(Target(store_url(valkey.config, TOKENS)), 2.0, "store", lambda: None), metrics)
    writer.start()
    chunks = values(slab(), 20)
    counts: list[int] = []
    for only_missing in (False, True):
        writer.submit(
            Batch(
                [(key, memoryview(value)) for key, value in chunks.items()],
                only_missing=only_missing,
                on_stored=counts.append,
            )
        )
        raw.delete("k3") if not only_missing else None
    writer.stop()
    assert counts == [20, 20]
    assert {key.decode(): value for key, value in zip(raw.keys(), raw.mget(raw.keys()), strict=True)} == chunks


def test_chunks_that_cannot_be_stored_are_given_up_and_said(tmp_path: Path):
    failures: list[int] = []
    link = KvLink(Target("redis://127.0.0.1:1"), 0.25, "store", lambda: failures.append(1))
    writer = KvWriter(link, EngineMetrics(Metrics("engine")))
    writer.start()
    counts: list[int] = []
    writer.submit(Batch([("k", memoryview(b"value"))], on_stored=counts.append))
    writer.stop()
    assert (counts, failures) == ([0], [1])
