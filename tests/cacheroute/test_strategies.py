from cacheroute.strategies import round_robin
from cacheroute.wire.control import ProxyRecord

POOLS = [ProxyRecord(name=name, boot_id="", url="", control_url="") for name in "abc"]


def test_each_in_its_turn_and_the_others_behind_it():
    assert [[d.target for d in round_robin(POOLS, turn)] for turn in range(3)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
    ]


def test_the_same_candidates_and_turn_give_the_same_decision():
    assert round_robin(POOLS, 5) == round_robin(POOLS, 5)
