from cacheroute.scheduler.policy import choose_kdn, round_robin
from cacheroute.wire.control import KdnRecord, ProxyRecord

POOLS = [ProxyRecord(name=name, boot_id="", url="", control_url="") for name in "abc"]
KDNS = [KdnRecord(name=name, boot_id="", url="", epoch="", seq=0) for name in "xyz"]


def test_each_pool_in_its_turn_and_the_others_behind_it():
    assert [[d.target for d in round_robin(POOLS, turn)] for turn in range(3)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
    ]


def test_the_same_snapshot_and_turn_give_the_same_decision():
    assert round_robin(POOLS, 5) == round_robin(POOLS, 5)


def test_only_a_kdn_that_holds_the_knowledge_is_chosen():
    assert {choose_kdn(KDNS, {"x", "z"}, turn).target for turn in range(4)} == {"x", "z"}
    assert choose_kdn(KDNS, set(), 0) is None
    assert choose_kdn(KDNS, {"dead"}, 0) is None
