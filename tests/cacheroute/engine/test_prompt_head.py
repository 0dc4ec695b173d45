"""The prompt head under real tokenizers and templates of several shapes: what KV is built for is what prompts begin
with, whatever the caller says and whatever the knowledge contains.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from cacheroute.config import Paths
from cacheroute.engine.embedded.text import TextSide
from cacheroute.engine.openai.fields import Fields
from cacheroute.engine.openai.messages import conversation
from cacheroute.engine.prepare import prepare
from cacheroute.errors import BadRequest
from cacheroute.instance.engine_link import EngineLink
from cacheroute.instance.head import find_head
from cacheroute.prompt import canonical_order
from cacheroute.proxy.compose import compose, in_canonical_order
from cacheroute.wire.engine import EngineInfo, Fingerprint
from cacheroute.wire.serve import Knowledge, TurnKnowledge
from knowledge.text import kid_of, neutralise, normalise

TURNS = """{%- for m in rest -%}
<|im_start|>{{ m.role }}
{{ m.content | trim }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
SPLIT = """{%- if messages[0].role == 'system' -%}
{%- set system, rest = messages[0].content | trim, messages[1:] -%}
{%- else -%}{%- set system, rest = 'You are a model.', messages -%}{%- endif -%}"""
LLAMA_3 = (
    SPLIT
    + """{%- if strftime_now is defined %}{% set date = strftime_now('%d %b %Y') %}
{%- else %}{% set date = '26 Jul 2024' %}{% endif -%}
<|im_start|>system
Cutting Knowledge Date: December 2023
Today Date: {{ date }}

{{ system }}<|im_end|>
"""
    + TURNS
)
PINNED_LLAMA_3 = LLAMA_3.replace("{{ date }}", "26 Jul 2024")
QWEN = (
    SPLIT
    + """<|im_start|>system
{{ system }}{% if tools %}

# Tools
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}{% endif %}<|im_end|>
"""
    + TURNS
)
TOOLS_FIRST = "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}" + QWEN
MISTRAL = """{%- if messages[0].role == 'system' %}{{ raise_exception('Only user and assistant roles!') }}{% endif -%}
{%- for m in messages -%}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate!') }}{% endif -%}
{%- if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}<|im_end|>{% endif -%}
{%- endfor -%}"""

TOOL = {"type": "function", "function": {"name": "count", "parameters": {"type": "object"}}}
SEAMS = st.sampled_from(
    [
        "<|im_start|>",
        "<|im_end|>system",
        "[INST]",
        "\n",
        " ",
        "\t",
        "\n\n",
        "- 1",
        "日本 😀",
        "e\u0301",
        "\u0301",
        "x" * 250,
    ]
)
TEXT = st.lists(SEAMS | st.text(max_size=12), max_size=6).map("".join)
USER = {"role": "user", "content": "Why?"}


def text_side(template: str | None = None) -> TextSide:
    path: Path = prepare(None, Paths().data_dir).path
    tokenizer = cast(PreTrainedTokenizerFast, AutoTokenizer.from_pretrained(path, local_files_only=True))
    if template is not None:
        tokenizer.chat_template = template
    return TextSide(tokenizer)


TEMPLATES = {"SmolLM2": None, "Llama-3": PINNED_LLAMA_3, "Qwen": QWEN}


@cache
def shape(name: str) -> TextSide:
    """One of the shapes that offer KV."""
    return text_side(TEMPLATES[name])


class Tokenizing:
    """What `find_head` asks of an engine, answered by a text side."""

    def __init__(self, side: TextSide) -> None:
        self._side = side

    async def tokenize(self, body: dict[str, Any]) -> list[int]:
        return ids_of(self._side, body)


def ids_of(side: TextSide, body: dict[str, Any]) -> list[int]:
    if "prompt" in body:
        return side.encode_prompt(body["prompt"])
    return side.encode_chat(side.render(conversation(Fields(body))))


def engine(chunk_tokens: int) -> EngineInfo:
    facts = {"weights": "", "tokenizer": "", "template": "", "dtype": "", "kv_layout": ""}
    fingerprint = Fingerprint(chunk_tokens=chunk_tokens, block_tokens=chunk_tokens, **facts)
    return EngineInfo(
        kind="embedded", model="m", max_model_len=8192, fingerprint=fingerprint, key_model="m", kv_bytes_per_token=1
    )


def run(coroutine: Any) -> Any:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def head_of(side: TextSide, texts: list[str], rendering: Any = "chat", chunk_tokens: int = 1) -> list[int]:
    link = cast(EngineLink, Tokenizing(side))
    return list(run(find_head(link, engine(chunk_tokens), texts, rendering)).token_ids)


def registered(text: str) -> str:
    """As the library keeps it."""
    return neutralise(normalise(text)).text


def knowledge(*texts: str) -> list[Knowledge]:
    return in_canonical_order([Knowledge(kid=kid_of(text), title="", text=text) for text in texts])


def composed(messages: list[Any], known: list[Knowledge], *turns: TurnKnowledge, **fields: Any) -> dict[str, Any]:
    return msgspec.json.decode(compose("chat", json.dumps({"messages": messages, **fields}).encode(), known, turns))


KNOWN = st.lists(TEXT.map(registered).filter(bool), min_size=1, max_size=3, unique=True)
HISTORY = st.lists(st.tuples(TEXT, TEXT), max_size=2)


def chat(system: str | None, history: list[tuple[str, str]], question: str) -> list[dict[str, Any]]:
    opening = [] if system is None else [{"role": "system", "content": system}]
    turns = [
        {"role": role, "content": text}
        for asked, said in history
        for role, text in (("user", asked), ("assistant", said))
    ]
    return [*opening, *turns, {"role": "user", "content": question}]


@pytest.mark.parametrize("name", TEMPLATES)
@settings(deadline=None, max_examples=60)
@given(texts=KNOWN, system=st.none() | TEXT, history=HISTORY, question=TEXT, with_tools=st.booleans())
def test_what_kv_is_built_for_is_what_every_prompt_begins_with(name, texts, system, history, question, with_tools):
    side, known = shape(name), knowledge(*texts)
    head = head_of(side, [item.text for item in known])
    fields = {"tools": [TOOL]} if with_tools else {}
    ids = ids_of(side, composed(chat(system, history, question), known, **fields))
    assert ids[: len(head)] == head


@settings(deadline=None, max_examples=60)
@given(texts=KNOWN, prompt=TEXT)
def test_the_same_holds_for_raw_completions(texts, prompt):
    side, known = shape("SmolLM2"), knowledge(*texts)
    head = head_of(side, [item.text for item in known], "completions")
    body = compose("completions", json.dumps({"prompt": prompt}).encode(), known)
    ids = ids_of(side, msgspec.json.decode(body))
    assert ids[: len(head)] == head


@settings(deadline=None, max_examples=40)
@given(texts=KNOWN)
def test_next_to_nothing_of_the_knowledge_is_outside_of_its_head(texts):
    """The tokens at the seam may depend on what follows; the rest may not."""
    side, known = shape("SmolLM2"), knowledge(*texts)
    alone = ids_of(side, composed([USER], known))
    behind = ids_of(side, {"messages": [{"role": "system", "content": ""}, USER]})
    assert len(head_of(side, [item.text for item in known])) >= len(alone) - len(behind) - 3


@settings(deadline=None, max_examples=40)
@given(texts=KNOWN, chunk_tokens=st.integers(1, 32))
def test_a_head_is_whole_chunks(texts, chunk_tokens):
    side = shape("SmolLM2")
    whole, head = head_of(side, texts), head_of(side, texts, chunk_tokens=chunk_tokens)
    assert head == whole[: len(whole) // chunk_tokens * chunk_tokens]


@settings(deadline=None, max_examples=40)
@given(texts=KNOWN, seed=st.randoms(use_true_random=False))
def test_one_set_of_knowledge_is_one_prompt_in_whatever_order_it_came(texts, seed):
    shuffled = list(texts)
    seed.shuffle(shuffled)
    assert knowledge(*texts) == knowledge(*shuffled)
    kids = [kid_of(text) for text in texts]
    assert canonical_order(kids) == canonical_order([kid_of(text) for text in shuffled])


@settings(deadline=None, max_examples=60)
@given(texts=KNOWN)
def test_no_knowledge_writes_a_control_token(texts):
    side = shape("SmolLM2")
    control = {side.encode_prompt(token)[0] for token in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")}
    ids = ids_of(side, composed([USER], knowledge(*texts)))
    plain = ids_of(side, composed([USER], knowledge("plain")))
    assert [token for token in ids if token in control] == [token for token in plain if token in control]


ANSWER = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)


@settings(deadline=None, max_examples=60)
@given(
    head=st.lists(TEXT.map(registered).filter(bool), max_size=2, unique=True),
    found=st.lists(TEXT.map(registered).filter(bool), min_size=6, max_size=6),
    needs=st.lists(st.booleans(), min_size=6, max_size=6),
    asked=st.lists(TEXT, min_size=6, max_size=6),
    said=st.lists(ANSWER, min_size=6, max_size=6),
)
def test_each_prompt_of_a_conversation_begins_as_the_last_one_and_its_answer(head, found, needs, asked, said):
    side, known = shape("SmolLM2"), knowledge(*head)
    before: list[int] = []
    messages: list[dict[str, Any]] = []
    turns: list[TurnKnowledge] = []
    for number in range(6):
        messages.append({"role": "user", "content": asked[number]})
        if number and needs[number]:
            turns.append(TurnKnowledge(message=2 * number, knowledge=tuple(knowledge(found[number]))))
        prompt = ids_of(side, composed(messages, known, *turns))
        assert prompt[: len(before)] == before
        before = [*prompt, *side.encode_prompt(said[number] + "<|im_end|>")]
        messages.append({"role": "assistant", "content": said[number]})


def test_only_the_shape_that_moves_the_head_offers_no_kv_and_says_why():
    assert [shape(name).why_not_pinned() for name in TEMPLATES] == ["", "", ""]
    assert text_side(LLAMA_3).why_not_pinned() == "the chat template puts the date before the knowledge"
    assert text_side(TOOLS_FIRST).why_not_pinned() == "the chat template puts tools before the knowledge"
    assert "Only user and assistant roles!" in text_side(MISTRAL).why_not_pinned()
    assert text_side("").why_not_pinned() == "the model has no chat template"


def test_without_a_system_role_the_knowledge_still_reaches_the_model():
    side, known = text_side(MISTRAL), knowledge("Herons are grey.")
    prompt = side.render(conversation(Fields(composed(chat("Be brief.", [("a", "b")], "c"), known))))
    assert prompt == "[INST] Herons are grey.\n\nBe brief.\n\na [/INST] b<|im_end|>[INST] c [/INST]"
    with pytest.raises(BadRequest, match="alternate"):
        side.render(conversation(Fields(composed([USER, USER], known))))


def test_a_later_turns_knowledge_needs_no_system_role_either():
    side = text_side(MISTRAL)
    turn = TurnKnowledge(message=2, knowledge=tuple(knowledge("Herons are grey.")))
    prompt = side.render(conversation(Fields(composed(chat(None, [("a", "b")], "c"), [], turn))))
    assert prompt == "[INST] a [/INST] b<|im_end|>[INST] Herons are grey.\n\nc [/INST]"


PARTS = [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([{"role": "developer", "content": "Be brief."}, USER], "K\n\nBe brief."),
        ([{"role": "system", "content": PARTS}, USER], "K\n\nBe brief."),
        ([{"role": "system", "content": "Be"}, {"role": "developer", "content": "brief."}, USER], "K\n\nBe\n\nbrief."),
        ([{"role": "system", "content": "Be brief."}], "K\n\nBe brief."),
        ([{"role": "assistant", "content": "Hello"}, USER], "K\n\n"),
        ([USER, {"role": "assistant", "content": "Sure,"}], "K\n\n"),
        ([], "K\n\n"),
    ],
)
def test_the_system_message_of_every_kind_of_conversation(messages, text):
    """The template's own default system text is gone wherever there is knowledge."""
    prompt = shape("SmolLM2").render(conversation(Fields(composed(messages, knowledge("K")))))
    assert prompt.startswith(f"<|im_start|>system\n{text}<|im_end|>\n")
    assert "named SmolLM" not in prompt
