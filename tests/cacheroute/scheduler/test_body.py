import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacheroute.errors import BadRequest
from cacheroute.scheduler.body import parse


def _chat(**fields):
    return parse("chat", json.dumps({"model": "m", "messages": [{"role": "user", "content": "q"}], **fields}).encode())


@pytest.mark.parametrize(
    ("named", "means"),
    [("auto", "auto"), ("text", "text"), ("prompt", "text"), ("kv", "kv"), ("kvcache", "kv"), ("KV-Cache", "kv")],
)
def test_every_spelling_of_the_injection_type_is_understood(named, means):
    assert _chat(Injection_type=named).injection == means


@pytest.mark.parametrize(("value", "means"), [(True, True), (0, False), (1, True), ("false", False), ("True", True)])
def test_rag_is_read_from_bool_number_and_text(value, means):
    assert _chat(RAG=value).rag is means


def test_our_options_are_taken_out_and_nothing_else():
    asked = _chat(RAG=False, Injection_type="kv", knowledge_ids=["b", "a", "b"], other=None)
    assert msgspec.json.decode(asked.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "q"}],
        "other": None,
    }
    assert asked.knowledge_ids == ("b", "a")


def test_the_question_is_the_last_user_turn():
    messages = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": [{"type": "text", "text": "second"}, {"type": "image_url"}]},
        {"role": "assistant", "content": "third"},
    ]
    assert _chat(messages=messages).query == "second"


def test_the_turn_before_is_the_last_one_that_was_answered():
    messages = [
        {"role": role, "content": text} for role, text in [("user", "first"), ("assistant", "x"), ("user", "q")]
    ]
    assert _chat(messages=messages).previous == "first"
    assert _chat().previous == ""


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_bytes_are_a_request_or_a_bad_request(raw):
    with suppress(BadRequest):
        assert parse("chat", raw).model
