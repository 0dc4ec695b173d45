"""The default model's own template and tokenizer."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cacheroute.config import Paths
from cacheroute.engine.embedded.text import TextSide
from cacheroute.engine.openai.messages import Conversation
from cacheroute.engine.prepare import prepare

_SEAMS = st.sampled_from(
    ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "\n", " ", "system\n", "x" * 250, "日本 😀 " * 60]
)


@pytest.fixture(scope="session")
def text_side() -> TextSide:
    return TextSide.load(prepare(None, Paths().data_dir).path)


@settings(deadline=None)
@given(st.lists(_SEAMS | st.text(max_size=20), max_size=12))
def test_remembered_segments_change_no_token(text_side: TextSide, parts: list[str]):
    text = "".join(parts)
    assert text_side.encode_chat(text) == text_side.encode_chat(text) == text_side.encode_prompt(text)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_streamed_text_is_the_text(text_side: TextSide, text: str):
    ids = text_side.encode_prompt(text)
    assume(text_side.decode(ids) == text and "\ufffd" not in text)  # some bytes are not in this vocabulary
    detokeniser = text_side.detokeniser()
    pieces = [detokeniser.push(token) for token in ids]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_knowledge_replaces_the_templates_own_system_text(text_side: TextSide):
    asked = {"role": "user", "content": "Hi"}
    assert "named SmolLM" in text_side.render(Conversation(messages=(asked,)))
    knowing = text_side.render(Conversation(messages=({"role": "system", "content": "Facts."}, asked)))
    assert "named SmolLM" not in knowing
    assert knowing.startswith("<|im_start|>system\nFacts.<|im_end|>")


def test_its_prompt_heads_can_be_pinned(text_side: TextSide):
    assert text_side.why_not_pinned() == ""
