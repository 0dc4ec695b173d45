from dataclasses import dataclass

import msgspec
import pytest
from fakes.fake_instance import FakeInstance

from cacheroute.kdn.builds.table import Kept
from cacheroute.kdn.builds.turns import RETRY_S, BuildTurns, Outcome
from cacheroute.kdn.instances import one_a_fingerprint
from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.kvstore.store import KvStore
from cacheroute.tokens import Tokens
from cacheroute.wire.artifacts import Build
from cacheroute.wire.control import InstanceLoad


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def turns(clock):
    return BuildTurns(30.0, clock)


def targets(**inflight):
    """Instances by fingerprint: `w1=0` is one with these weights that serves nobody."""
    store = KvStore("kv-1", KvStoreConfig(), Tokens(control="", kv_password=""))
    return one_a_fingerprint(
        [
            msgspec.structs.replace(
                FakeInstance(store=store, token="", name=f"i-{weights}", weights=weights).record,
                load=InstanceLoad(inflight=count),
            )
            for weights, count in inflight.items()
        ],
        {"kv-1"},
    )


def fingerprint(weights):
    return next(iter(targets(**{weights: 0})))


def queued(turns, *, fingerprint=""):
    number = len(turns) + 1
    kept = Kept(Build(id=number, kids=(f"k{number}",), rendering="chat", fingerprint=fingerprint, state="queued"))
    turns.add(kept)
    return turns.get(number)


def test_they_go_in_the_order_in_which_they_came(turns):
    first, second = queued(turns), queued(turns)
    assert turns.next(targets(w1=0))[0] is first
    turns.remove(first.build.id)
    assert turns.next(targets(w1=0))[0] is second


def test_nothing_begins_where_nobody_is_alive_or_everybody_serves(turns):
    entry = queued(turns)
    assert turns.next({}) is None
    assert turns.next(targets(w1=2)) is None
    assert "no live instance" in turns.why(entry, {}, (), ())
    assert "i-w1 serves 2" in turns.why(entry, targets(w1=2), (), ())
    assert turns.next(targets(w1=0)) is not None


def test_under_constant_load_one_goes_after_the_longest_wait_and_the_next_after_another(turns, clock):
    queued(turns), queued(turns)
    busy = targets(w1=1)
    assert turns.next(busy) is None
    clock.now_s += 29
    assert turns.next(busy) is None
    clock.now_s += 1
    entry, _ = turns.next(busy)
    turns.remove(entry.build.id)
    assert turns.next(busy) is None
    clock.now_s += 30
    assert turns.next(busy) is not None


def test_one_that_just_came_has_not_waited_however_long_the_instance_has_been_busy(turns, clock):
    turns.next(targets(w1=1))
    clock.now_s += 100
    queued(turns)
    assert turns.next(targets(w1=1)) is None


def test_an_entry_without_fingerprint_is_for_each_that_is_live_one_with_it_only_for_that(turns):
    both, named = queued(turns), queued(turns, fingerprint=fingerprint("w2"))
    live = targets(w1=0, w2=0)
    for expected in live:
        entry, instance = turns.next(live)
        assert (entry, instance.engine.fingerprint.id) == (both, expected)
        assert turns.over(live) is None
        both.outcomes[expected] = Outcome("built")
    assert turns.over(live) is both
    turns.remove(both.build.id)
    entry, instance = turns.next(live)
    assert (entry, instance.name) == (named, "i-w2")


def test_a_build_behind_one_that_must_wait_goes_where_there_is_time(turns):
    queued(turns, fingerprint=fingerprint("w1"))
    second = queued(turns, fingerprint=fingerprint("w2"))
    assert turns.next(targets(w1=5, w2=0))[0] is second


def test_what_remains_for_a_fingerprint_that_died_keeps_no_entry(turns):
    entry = queued(turns)
    live = targets(w1=0, w2=0)
    entry.outcomes[fingerprint("w1")] = Outcome("present")
    assert turns.over(live) is None
    assert turns.over(targets(w1=0)) is entry
    assert entry.ended().state == "present"


def test_a_vain_try_is_followed_by_others_later_and_later_and_then_by_none(turns, clock):
    entry = queued(turns)
    live = targets(w1=0)
    for pause_s in RETRY_S:
        assert turns.failed(entry, "engine on fire") is True
        assert turns.next(live) is None
        assert "engine on fire" in turns.why(entry, live, (), ())
        clock.now_s += pause_s
        assert turns.next(live)[0] is entry
    assert turns.failed(entry, "engine on fire") is False


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [(("built", "present"), "built"), (("present", "present"), "present"), (("built", "failed"), "failed")],
)
def test_how_it_ended_says_the_worst_of_what_matters(turns, outcomes, state):
    entry = queued(turns)
    entry.outcomes = {str(number): Outcome(each, "no" * (each == "failed")) for number, each in enumerate(outcomes)}
    assert (entry.ended().state, entry.ended().why) == (state, "no" * (state == "failed"))
