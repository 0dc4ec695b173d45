import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacheroute import prompt
from cacheroute.errors import BadRequest

USER = {"role": "user", "content": "why?"}


def test_knowledge_stands_first_in_one_system_message_before_the_callers_text():
    messages = [{"role": "system", "content": "Be brief."}, USER]
    assert prompt.inject_chat(messages, ["A", "B"]) == [{"role": "system", "content": "A\n\nB\n\nBe brief."}, USER]


def test_without_a_system_text_the_head_is_the_same():
    assert prompt.inject_chat([USER], ["A"]) == [{"role": "system", "content": "A\n\n"}, USER]


def test_leading_system_and_developer_messages_become_one_and_later_ones_keep_their_place():
    late = {"role": "system", "content": "late"}
    messages = [
        {"role": "system", "content": "one"},
        {"role": "developer", "content": [{"type": "text", "text": "two"}]},
        USER,
        late,
    ]
    assert prompt.inject_chat(messages, ["K"]) == [{"role": "system", "content": "K\n\none\n\ntwo"}, USER, late]


def test_without_knowledge_messages_are_left_alone():
    messages = [{"role": "developer", "content": "x"}, USER]
    assert prompt.inject_chat(messages, []) == messages


@pytest.mark.parametrize("message", ["text", {"content": "x"}, {"role": 3}, None])
def test_a_message_that_is_none_is_named(message):
    with pytest.raises(BadRequest, match=r"messages\[1\]"):
        prompt.inject_chat([USER, message], [])


PICTURE = {"type": "image_url", "image_url": {"url": "x"}}


def test_a_system_message_that_is_not_text_stands_behind_the_knowledge():
    picture = {"role": "system", "content": [PICTURE]}
    assert prompt.inject_chat([picture], []) == [picture]
    assert prompt.inject_chat([picture, USER], ["K"]) == [{"role": "system", "content": "K\n\n"}, picture, USER]
    brief = {"role": "system", "content": "Be brief."}
    assert prompt.inject_chat([brief, picture], ["K"]) == [{"role": "system", "content": "K\n\nBe brief."}, picture]


@pytest.mark.parametrize(
    "messages",
    [[], [{"role": "assistant", "content": "Hello"}, USER], [USER, {"role": "assistant", "content": "Sure,"}]],
)
def test_whatever_a_conversation_begins_and_ends_with_the_head_stands_first(messages):
    assert prompt.inject_chat(messages, ["K"]) == [{"role": "system", "content": "K\n\n"}, *messages]


def test_a_system_message_alone_gets_its_head():
    assert prompt.inject_chat([{"role": "system", "content": None}], ["K"]) == [{"role": "system", "content": "K\n\n"}]


def test_knowledge_of_a_later_turn_stands_before_its_text():
    assert prompt.inject_turn({**USER, "name": "n"}, ["A", "B"]) == {
        "role": "user",
        "content": "A\n\nB\n\nwhy?",
        "name": "n",
    }
    parts = [PICTURE, {"type": "text", "text": "why?"}]
    assert prompt.inject_turn({"role": "user", "content": parts}, ["A"]) == {
        "role": "user",
        "content": [{"type": "text", "text": "A\n\n"}, *parts],
    }


def test_a_raw_prompt_has_the_same_head():
    assert prompt.inject_completion("Once", ["A", "B"]) == prompt.head_text(["A", "B"]) + "Once"
    assert prompt.inject_completion(["Once"], ["A"]) == "A\n\nOnce"
    assert prompt.inject_completion([1, 2], []) == [1, 2]
    with pytest.raises(BadRequest):
        prompt.inject_completion([1, 2], ["A"])


@given(st.lists(st.text(), max_size=6))
def test_the_order_is_one_for_one_set(kids):
    assert prompt.canonical_order(kids) == prompt.canonical_order(reversed(kids * 2))


@given(
    st.lists(st.integers(0, 3), max_size=40),
    st.lists(st.lists(st.integers(0, 3), max_size=9), min_size=1),
    st.integers(1, 8),
)
def test_the_common_head_is_whole_chunks_that_every_rendering_begins_with(head, tails, chunk_tokens):
    renderings = [head + tail for tail in tails]
    shared = list(prompt.common_head(renderings, chunk_tokens))
    assert len(shared) % chunk_tokens == 0
    assert len(shared) >= len(head) - len(head) % chunk_tokens
    assert all(each[: len(shared)] == shared for each in renderings)


def test_no_rendering_has_no_head():
    assert prompt.common_head([], 4) == ()
