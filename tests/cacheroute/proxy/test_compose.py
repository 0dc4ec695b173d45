import msgspec

from cacheroute.proxy.compose import compose, in_canonical_order
from cacheroute.wire.serve import Knowledge


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
