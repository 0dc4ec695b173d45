"""The real compute thread on a small real model: who is served before whom, and that no bit depends on it."""

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from fakes.tiny_models import tiny_llama, write_model

from cacheroute.engine.embedded.compute import SHARED_PIECE_TOKENS, ComputeThread
from cacheroute.engine.embedded.detokenise import Detokeniser, StopStrings
from cacheroute.engine.embedded.forward import load_model
from cacheroute.engine.embedded.generation import Event, Generation
from cacheroute.engine.embedded.kv_keeper import KvKeeper
from cacheroute.engine.embedded.model import Model
from cacheroute.engine.embedded.prefix_cache import PrefixCache
from cacheroute.engine.embedded.slab import KVSlab
from cacheroute.engine.metrics import EngineMetrics
from cacheroute.keys import KeyScheme
from cacheroute.telemetry import Metrics

CHUNK = 16
LONG = [(7 * n) % 255 + 1 for n in range(4000)]
SHORT = [(11 * n) % 255 + 1 for n in range(200)]


class Watched:
    """A model whose pieces are listed; before each the thread waits for `go`, so that a test can step it."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.spec = model.spec
        self.pieces: queue.Queue[tuple[int, int]] = queue.Queue()
        self.go = threading.Semaphore(0)

    def prefill(self, slab: KVSlab, ids: Sequence[int], start: int) -> torch.Tensor:
        self.pieces.put((start, len(ids)))
        self.go.acquire()
        return self._model.prefill(slab, ids, start)

    def decode(self, slabs: Sequence[KVSlab], ids: Sequence[int]) -> torch.Tensor:
        return self._model.decode(slabs, ids)


class Bench:
    """A running thread, and everything that it told, in order: (whose, event)."""

    def __init__(self, model: Model) -> None:
        self.model = Watched(model)
        self.told: queue.Queue[tuple[str, Event]] = queue.Queue()
        self.logits: dict[str, list[torch.Tensor]] = {}
        self.prefix_cache = PrefixCache(2**30)
        keeper = KvKeeper(KeyScheme(model="m", chunk_tokens=CHUNK), CHUNK, self.prefix_cache, None, None)
        self.thread = ComputeThread(
            self.model,
            keeper,
            EngineMetrics(Metrics("engine")),
            max_streams=2,
            cut_tokens=CHUNK,
            capacity=model.spec.max_positions,
            threads=1,
        )

    def submit(self, name: str, prompt: list[int], max_tokens: int = 1, **how: bool) -> Generation:
        self.logits[name] = []

        def pick(logits: torch.Tensor) -> int:
            self.logits[name].append(logits.clone())
            return int(logits.argmax())

        generation = Generation(
            list(prompt),
            max_tokens=max_tokens,
            eos_ids=frozenset(),
            pick=pick,
            detokeniser=Detokeniser(lambda ids: "x" * len(ids)),
            stops=StopStrings(()),
            awaits_store=how.get("awaits_store", False),
            background=how.get("background", False),
            notify=lambda event: self.told.put((name, event)),
        )
        self.thread.submit(generation)
        return generation

    def next(self) -> tuple[str, Any]:
        return self.told.get(timeout=30)

    def run_freely(self) -> None:
        self.model.go.release(10**6)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    directory = write_model(tiny_llama(positions=4608), tmp_path_factory.mktemp("tiny"))
    return load_model(directory, "tiny").model


@pytest.fixture
def bench(tiny: Model) -> Iterator[Bench]:
    bench = Bench(tiny)
    bench.thread.start()
    yield bench
    bench.run_freely()
    bench.thread.stop()


def alone(tiny: Model, prompt: list[int]) -> torch.Tensor:
    return tiny.prefill(tiny.spec.slab(len(prompt)), prompt, 0)


def test_whoever_comes_while_a_long_background_prefill_runs_has_the_first_token_before_it_is_done(
    tiny: Model, bench: Bench
) -> None:
    bench.submit("build", LONG, background=True, awaits_store=True)
    assert bench.model.pieces.get(timeout=10)[0] == 0
    bench.submit("live", SHORT, max_tokens=4)  # while the first piece is computed
    bench.run_freely()
    told = [bench.next() for _ in range(5)]
    assert [name for name, _ in told] == ["live"] * 4 + ["build"]
    assert told[0][1].finish is None
    assert told[-1][1].finish == "length"


def test_the_bits_of_both_are_those_of_either_alone(tiny: Model, bench: Bench) -> None:
    bench.submit("build", LONG, background=True, awaits_store=True)
    bench.model.pieces.get(timeout=10)
    bench.submit("live", SHORT)
    bench.run_freely()
    assert [bench.next()[0] for _ in range(2)] == ["live", "build"]
    assert torch.equal(bench.logits["live"][0], alone(tiny, SHORT))
    assert torch.equal(bench.logits["build"][0], alone(tiny, LONG))


def test_a_background_prefill_goes_in_small_pieces_even_when_it_is_alone(bench: Bench) -> None:
    bench.submit("build", LONG[:200], background=True)
    bench.run_freely()
    bench.next()
    sizes = [bench.model.pieces.get_nowait()[1] for _ in range(bench.model.pieces.qsize())]
    assert sum(sizes) == 200
    assert max(sizes) <= SHARED_PIECE_TOKENS


def test_a_background_stream_does_not_make_the_pieces_of_a_lone_request_smaller(bench: Bench) -> None:
    bench.submit("build", LONG, background=True)
    bench.model.pieces.get(timeout=10)
    bench.submit("live", SHORT)
    bench.model.go.release()
    assert bench.model.pieces.get(timeout=10) == (0, len(SHORT))


def test_what_is_built_in_the_background_takes_no_room_in_the_prefix_cache(bench: Bench) -> None:
    bench.run_freely()
    bench.submit("live", SHORT)
    bench.next()
    bench.submit("build", LONG[:200], background=True, awaits_store=True)
    bench.next()
    assert len(bench.prefix_cache) == len(SHORT) // CHUNK


def test_one_background_stream_follows_the_other_by_itself(bench: Bench) -> None:
    for name in ("one", "two"):
        bench.submit(name, LONG[:100], background=True, awaits_store=True)
    bench.run_freely()
    assert [bench.next()[0] for _ in range(2)] == ["one", "two"]


def test_whoever_waits_is_served_also_where_all_streams_end_at_once(bench: Bench) -> None:
    for name in ("one", "two", "three"):
        bench.submit(name, SHORT)
    bench.run_freely()
    assert {bench.next()[0] for _ in range(3)} == {"one", "two", "three"}


def test_a_background_prefill_that_is_given_up_ends_while_others_go_on(bench: Bench) -> None:
    build = bench.submit("build", LONG, background=True)
    bench.model.pieces.get(timeout=10)
    bench.thread.cancel(build)
    bench.run_freely()
    bench.submit("live", SHORT)
    assert bench.next()[0] == "live"
    assert (build.slab, bench.thread.running) == (None, 0)


@pytest.mark.parametrize("answer_tokens", range(1, CHUNK + 2))
def test_an_answers_every_whole_chunk_is_kept_for_the_next_turn(tiny: Model, bench: Bench, answer_tokens: int) -> None:
    """The last token of an answer is never fed back, so a chunk that ends with it would stay one token short."""
    bench.run_freely()
    first = bench.submit("first", SHORT, max_tokens=answer_tokens)
    while bench.next()[1].finish is None:
        pass
    history = list(first.ids)
    second = bench.submit("second", [*history, 1, 2, 3])
    assert bench.next()[1].finish == "length"
    assert len(history) == len(SHORT) + answer_tokens
    assert second.prefix_cache_tokens == len(history) // CHUNK * CHUNK
    assert torch.equal(bench.logits["second"][0], alone(tiny, [*history, 1, 2, 3]))


def test_what_a_reader_has_stopped_is_kept_for_the_next_turn(bench: Bench) -> None:
    bench.run_freely()
    stopped = bench.submit("stopped", SHORT, max_tokens=4000)
    for _ in range(3 * CHUNK):
        bench.next()
    bench.thread.cancel(stopped)
    history = stopped.ids[: len(SHORT) + 3 * CHUNK]
    following = bench.submit("following", [*history, 1])
    while bench.next()[0] != "following":
        pass
    assert following.prefix_cache_tokens >= (len(history) - 1) // CHUNK * CHUNK
