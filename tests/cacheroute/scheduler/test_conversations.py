import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacheroute.scheduler.conversations import (
    MAX_KIDS,
    TURNS_KEPT,
    Conversations,
    Placement,
    TurnKids,
    conversation_key,
    fitted,
)
from cacheroute.scheduler.turns import turns_of


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def talk(*texts: str):
    """The turns of a conversation with these user texts."""
    roles = [{"role": "user", "content": text} for text in texts]
    return turns_of([each for message in roles for each in (message, {"role": "assistant", "content": "x"})][:-1])


def conversations(ttl_s: float = 10, most: int = 4):
    clock = Clock()
    return Conversations(ttl_s, most, clock), clock


def placed(head: str = "", **turns: str) -> Placement:
    """`placed("ab", m2="c")`: kids of one letter."""
    return Placement(
        head=tuple(head),
        turns=tuple(TurnKids(message=int(name[1:]), kids=tuple(kids)) for name, kids in turns.items()),
    )


def test_a_conversation_goes_on_from_its_longest_known_beginning():
    known, _ = conversations()
    turns = talk("a", "b", "c", "d")
    known.keep(b"k", turns[0], placed("h"))
    known.keep(b"k", turns[1], placed("h", m2="t"))
    found = known.known(b"k", turns[:3])
    assert found is not None
    assert (found.turns, found.placement) == (2, placed("h", m2="t"))
    branch = known.known(b"k", talk("a", "other", "c"))
    assert branch is not None
    assert (branch.turns, branch.placement) == (1, placed("h"))
    assert known.known(b"k", talk("z")) is None
    assert known.known(b"other", turns) is None


def test_of_a_conversation_whose_beginning_is_gone_the_head_is_known():
    known, _ = conversations()
    known.keep(b"k", talk("a", "b")[1], placed("h", m2="t"))
    head = known.head(b"k")
    assert head is not None
    assert (head.turns, head.placement) == (0, placed("h"))
    assert known.head(b"other") is None


def test_a_conversation_that_is_not_heard_of_is_forgotten_and_one_that_is_lives_on():
    known, clock = conversations(ttl_s=10)
    first, second = talk("a", "b")
    known.keep(b"old", first, placed("h"))
    known.keep(b"new", first, placed("h"))
    clock.now_s = 9
    known.keep(b"new", second, placed("h"))
    clock.now_s = 11
    assert known.known(b"old", [first]) is None
    assert known.known(b"new", [first]) is not None
    assert len(known) == 1


def test_the_conversation_not_used_for_longest_goes_first():
    known, _ = conversations(most=2)
    turn = talk("a")[0]
    for key in (b"1", b"2", b"1", b"3"):
        known.keep(key, turn, placed("h"))
    assert [known.known(key, [turn]) is not None for key in (b"1", b"2", b"3")] == [True, False, True]


def test_a_long_conversation_keeps_its_newest_turns_only():
    known, _ = conversations()
    turns = talk(*map(str, range(3 * TURNS_KEPT)))
    for turn in turns:
        known.keep(b"k", turn, placed("h"))
    assert known.known(b"k", turns[:1]) is None
    newest = known.known(b"k", turns)
    assert newest is not None
    assert newest.turns == len(turns)


def test_nobody_reaches_another_ones_conversation():
    turns = talk("a", "b")
    keys = [
        conversation_key(*named, turns)
        for named in [("ann", "m", ""), ("bob", "m", ""), ("ann", "n", ""), ("ann", "m", "s"), ("ann", "m", "t")]
    ]
    assert len(set(keys)) == len(keys)
    assert conversation_key("ann", "m", "s", talk("other")) == keys[3]
    assert conversation_key("ann", "m", "", talk("a")) == keys[0]
    assert conversation_key("ann", "m", "", talk("other")) != keys[0]
    opening = turns[0].digest.hex()
    assert conversation_key("ann", "m", opening, turns) != keys[0]
    assert conversation_key("ann", "m", "s", ()) == b""


def test_no_kid_stands_twice_and_turns_stand_in_the_order_of_the_messages():
    placement = placed("ab").extended(4, ["c", "a", "c"]).extended(2, ["d", "c"])
    assert placement == placed("ab", m2="d", m4="c")
    assert placement.kids == ("a", "b", "d", "c")
    assert placement.extended(6, ["a", "d"]) is placement


def test_only_what_was_used_is_kept_in_its_place():
    assert placed("ab", m2="c", m4="de").only(frozenset("be")) == placed("b", m4="e")


@pytest.mark.parametrize(
    ("placement", "budget", "asked", "left", "out"),
    [
        (placed("ab", m2="c", m4="d"), 4, None, placed("ab", m2="c", m4="d"), ""),
        (placed("ab", m2="c", m4="d"), 3, None, placed("ab", m4="d"), "c"),
        (placed("ab", m2="c", m4="d"), 2, None, placed("ab"), "cd"),
        (placed("ab", m2="c"), 1, None, placed("ab"), "c"),
        (placed("ab", m2="c", m4="d"), 2, 4, placed("a", m4="d"), "cb"),
        (placed("ab", m4="de"), 1, 4, placed("", m4="de"), "ba"),
        (placed("ab"), 0, None, placed("ab"), ""),
    ],
)
def test_over_the_budget_the_oldest_later_turn_goes_first_and_the_head_last(placement, budget, asked, left, out):
    assert fitted(placement, dict.fromkeys("abcde", 1), budget, asked) == (left, tuple(out))


def test_a_prompt_never_has_more_blocks_than_a_header_can_name():
    head = tuple(f"h{number}" for number in range(10))
    placement = Placement(head=head)
    for message in range(2, 200, 2):
        placement = placement.extended(message, [f"t{message}"])
    left, out = fitted(placement, dict.fromkeys(placement.kids, 1), 10_000, None)
    assert (len(left.kids), left.head) == (MAX_KIDS, head)
    assert out == placement.kids[10 : 10 + len(out)], "the oldest turns' went"
    named = placement.extended(300, [f"n{number}" for number in range(MAX_KIDS)])
    left, _ = fitted(named, dict.fromkeys(named.kids, 1), 10_000, 300)
    assert left.kids == named.turns[-1].kids


@given(
    st.lists(st.tuples(st.integers(1, 6), st.lists(st.sampled_from("abcdefgh"), max_size=3)), max_size=6),
    st.integers(0, 12),
)
def test_a_growing_placement_never_moves_what_stands(added, budget):
    placement = placed("ab")
    for number, (_, kids) in enumerate(added):
        before = placement
        placement = placement.extended(2 * number + 2, kids)
        assert placement.kids[: len(before.kids)] == before.kids
    assert len(set(placement.kids)) == len(placement.kids)
    left, out = fitted(placement, dict.fromkeys("abcdefgh", 1), budget, None)
    assert sorted((*left.kids, *out)) == sorted(placement.kids)
    assert left.head == placement.head
