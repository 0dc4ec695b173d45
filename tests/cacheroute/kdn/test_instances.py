import msgspec
import pytest
from fakes.fake_instance import FakeInstance

from cacheroute.kdn.instances import one_a_fingerprint, why_not
from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.kvstore.store import KvStore
from cacheroute.tokens import Tokens
from cacheroute.wire.control import InstanceLoad


@pytest.fixture
def record():
    store = KvStore("kv-1", KvStoreConfig(), Tokens(control="", kv_password=""))

    def make(**dials):
        changes = dials.pop("changes", {})
        return msgspec.structs.replace(FakeInstance(store=store, token="", **dials).record, **changes)

    return make


def test_an_instance_that_can_take_kv_has_nothing_against_it(record):
    assert why_not(record(), {"kv-1"}) == ""


@pytest.mark.parametrize(
    ("dials", "why"),
    [
        ({"no_kv_reason": "its template has a date in it"}, "date"),
        ({"changes": {"ready": False, "why": "the engine is down"}}, "engine is down"),
        ({"changes": {"ready": False}}, "not ready"),
        ({"changes": {"kv_store": None}}, "no kv store"),
        ({"changes": {"kv_store": "kv-9"}}, "kv-9"),
    ],
)
def test_what_stands_against_an_instance_is_said(record, dials, why):
    instance = record(**dials)
    assert why in why_not(instance, {"kv-1"})
    assert one_a_fingerprint([instance], {"kv-1"}) == {}


def test_one_instance_is_chosen_a_fingerprint_the_least_busy_then_by_name(record):
    busy = record(name="i1", changes={"load": InstanceLoad(inflight=3)})
    idle, twin = record(name="i3"), record(name="i2")
    other = record(name="i4", weights="w2")
    chosen = one_a_fingerprint([busy, idle, twin, other], {"kv-1"})
    assert sorted(instance.name for instance in chosen.values()) == ["i2", "i4"]
    assert chosen[other.engine.fingerprint.id] is other
