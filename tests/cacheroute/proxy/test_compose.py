import msgspec
import pytest

from cacheroute.errors import BadRequest
from cacheroute.proxy.compose import PromptKnowledge, compose, in_canonical_order
from cacheroute.wire.serve import Knowledge, TurnKnowledge


def _knowledge(*kids: str) -> list[Knowledge]:
    return [Knowledge(kid=kid, title="", text=f"text of {kid}") for kid in kids]


def test_without_knowledge_not_a_byte_is_changed():
    body = b'{"model": "m",  "messages": []}'
    assert bytes(compose("chat", body, [])) == body


def test_only_the_messages_change():
    body = b'{"model":"m","temperature":0,"messages":[{"role":"user","content":"q"}],"x":[1]}'
    final = msgspec.json.decode(compose("chat", body, _knowledge("a")))
    assert final.pop("messages") == [
        {"role": "system", "content": "text of a\n\n"},
        {"role": "user", "content": "q"},
    ]
    assert final == {"model": "m", "temperature": 0, "x": [1]}


def test_a_raw_prompt_gets_it_before_its_text():
    final = msgspec.json.decode(compose("completions", b'{"prompt":"once"}', _knowledge("a")))
    assert final["prompt"] == "text of a\n\nonce"


def test_relevance_decides_what_stays_and_the_canonical_order_where_it_stands():
    assert [item.kid for item in in_canonical_order(_knowledge("c", "a", "b"))] == ["a", "b", "c"]


def _turn(message: int, *kids: str) -> TurnKnowledge:
    return TurnKnowledge(message=message, knowledge=tuple(_knowledge(*kids)))


def test_knowledge_of_a_later_turn_stands_in_that_turn_whatever_the_head_does_to_the_messages():
    body = b"""{"messages":[{"role":"system","content":"s"},{"role":"developer","content":"d"},
        {"role":"user","content":"1"},{"role":"assistant","content":"2"},{"role":"user","content":"3"}]}"""
    final = msgspec.json.decode(compose("chat", body, _knowledge("a"), [_turn(4, "b")]))
    assert [message["content"] for message in final["messages"]] == [
        "text of a\n\ns\n\nd",
        "1",
        "2",
        "text of b\n\n3",
    ]


def test_a_turn_that_is_not_there_is_refused():
    for messages in ("[]", "[3]", "{}"):
        with pytest.raises(BadRequest, match="messages"):
            compose("chat", f'{{"messages":{messages}}}'.encode(), [], [_turn(0, "b")])


def test_too_long_a_prompt_loses_the_oldest_turns_knowledge_first_and_the_head_last_by_relevance():
    knowledge = PromptKnowledge(head=tuple(_knowledge("a", "b")), turns=(_turn(2, "c", "d"), _turn(4, "e")))
    left = []
    while knowledge:
        left.append(knowledge.kids)
        knowledge = knowledge.shorter()
    assert ["".join(kids) for kids in left] == ["abcde", "abe", "ab", "a"]
    assert "".join(knowledge.left_out) == "cdeba"
