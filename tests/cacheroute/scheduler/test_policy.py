import pytest

from cacheroute.scheduler.asked import AskedSince
from cacheroute.scheduler.policy import choose_kdn
from cacheroute.wire.control import KdnLoad, KdnRecord


def nothing_asked(kdn: KdnRecord) -> int:
    return 0


def kdn(name: str, injecting: int = 0, waiting: int = 0) -> KdnRecord:
    return KdnRecord(name=name, boot_id="", url="", epoch="", seq=0, load=KdnLoad(injecting=injecting, waiting=waiting))


def test_only_a_kdn_that_holds_the_knowledge_is_chosen():
    kdns = [kdn(name) for name in "xyz"]
    assert {choose_kdn(kdns, {"x", "z"}, turn, 32, nothing_asked).target for turn in range(4)} == {"x", "z"}
    assert choose_kdn(kdns, set(), 0, 32, nothing_asked) is None
    assert choose_kdn(kdns, {"dead"}, 0, 32, nothing_asked) is None


def test_the_least_busy_holder_is_chosen_and_equally_busy_ones_take_turns():
    kdns = [kdn("x", injecting=3), kdn("y", injecting=1, waiting=1), kdn("z", injecting=2)]
    assert {choose_kdn(kdns, set("xyz"), turn, 32, nothing_asked).target for turn in range(4)} == {"y", "z"}
    assert choose_kdn(kdns, set("xy"), 7, 32, nothing_asked).target == "y"
    assert choose_kdn(kdns, {"x"}, 0, 32, nothing_asked).target == "x"


def test_what_was_asked_since_the_lease_counts_so_that_not_all_go_to_one_until_the_next():
    kdns, asked = [kdn("x", injecting=2), kdn("y")], AskedSince()
    chosen = []
    for turn in range(8):
        decision = choose_kdn(kdns, set("xy"), turn, 32, asked.of)
        asked.add(next(each for each in kdns if each.name == decision.target))
        chosen.append(decision.target)
    assert chosen[:2] == ["y", "y"]
    assert chosen.count("x") == 3
    renewed = kdn("x", injecting=1)
    assert (asked.of(kdns[0]), asked.of(renewed)) == (3, 0)


def test_an_overloaded_kdn_is_chosen_only_where_all_are():
    kdns = [kdn("x", injecting=0, waiting=32), kdn("y", injecting=90, waiting=31), kdn("z", waiting=33)]
    assert choose_kdn(kdns, set("xyz"), 0, 32, nothing_asked).target == "y"
    assert choose_kdn(kdns, set("xz"), 0, 32, nothing_asked).target == "x"


@pytest.mark.parametrize(
    ("holders", "reason"),
    [
        ("z", "the only holder: 0 waiting, 4 injecting"),
        ("wz", "least busy of 2 holders: 0 waiting, 3 injecting"),
        ("vwz", "in turn among 2 equally busy of 3 holders: 1 waiting, 2 injecting"),
        (
            "xz",
            "least busy of 2 holders, passing 1 with 32 or more waiting: 0 waiting, 4 injecting",
        ),
        (
            "xy",
            "least busy of 2 holders, all with 32 or more waiting: 32 waiting, 0 injecting",
        ),
    ],
)
def test_the_choice_is_explained_in_words_and_numbers(holders, reason):
    kdns = [kdn("v", 2, 1), kdn("w", 3), kdn("x", 0, 32), kdn("y", 1, 40), kdn("z", 4)]
    decision = choose_kdn(kdns, set(holders), 0, 32, nothing_asked)
    assert decision.reason == f"{reason}, 0 asked since its lease"
    assert dict(decision.scores)[decision.target] == min(dict(decision.scores).values()) or "passing" in reason
