import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacheroute.scheduler.turns import turns_of

SYSTEM = {"role": "system", "content": "Be brief."}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def _shape(messages):
    return [(turn.message, turn.text, turn.answered) for turn in turns_of(messages)]


@pytest.mark.parametrize(
    ("messages", "turns"),
    [
        ([user("a")], [(0, "a", False)]),
        ([SYSTEM, user("a"), assistant("x"), user("b")], [(1, "a", True), (3, "b", False)]),
        ([user("a"), user("b")], [(1, "b", False)]),
        ([assistant("hello"), user("a")], [(1, "a", False)]),
        ([user("a"), assistant("Sure,")], [(0, "a", True)]),
        ([user("a"), assistant(None), {"role": "tool", "content": "7"}], [(0, "a", True)]),
        ([user("a"), assistant("x"), assistant("y"), SYSTEM, user("b")], [(0, "a", True), (4, "b", False)]),
        ([SYSTEM], []),
        ([assistant("x")], []),
        ([3, None, {"content": "q"}, user("a")], [(3, "a", False)]),
        ([user([{"type": "image_url"}, {"type": "text", "text": "what?"}])], [(0, "what?", False)]),
        ([user(None)], [(0, "", False)]),
        ([], []),
        ("text", []),
    ],
)
def test_a_turn_is_the_last_user_message_before_an_answer_or_the_end(messages, turns):
    assert _shape(messages) == turns


def test_a_digest_names_everything_up_to_its_turn_and_nothing_behind():
    first, second = turns_of([SYSTEM, user("a"), assistant("x"), user("b")])
    assert turns_of([SYSTEM, user("a")])[0].digest == first.digest
    assert turns_of([SYSTEM, user("a"), assistant("other"), user("b")])[0].digest == first.digest
    assert turns_of([SYSTEM, user("a"), assistant("other"), user("b")])[1].digest != second.digest
    assert turns_of([user("a")])[0].digest != first.digest


def test_the_order_of_a_messages_fields_does_not_matter():
    one, other = {"role": "user", "content": "a", "name": "n"}, {"name": "n", "content": "a", "role": "user"}
    assert turns_of([one]) == turns_of([other])


MESSAGES = st.lists(
    st.sampled_from([user("a"), user("b"), assistant("a"), assistant("b"), SYSTEM, {"role": "tool", "content": "a"}]),
    max_size=6,
)


@given(MESSAGES, MESSAGES)
def test_equal_beginnings_and_no_others_have_equal_digests(one, other):
    for first in turns_of(one):
        for second in turns_of(other):
            same = json.dumps(one[: first.message + 1]) == json.dumps(other[: second.message + 1])
            assert (first.digest == second.digest) == same
