from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from knowledge.cut import SHORT_TOKENS, Budget, draft, estimate_tokens
from knowledge.document import Document
from knowledge.errors import BudgetTooSmall
from knowledge.parse import compose
from knowledge.text import kid_of, normalise


def words(text: str) -> int:
    return len(text.split())


def document(text: str, title: str = "T") -> Document:
    return Document(source="s", title=title, text=normalise(text))


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


prose = st.lists(
    st.lists(
        st.sampled_from(["alpha", "beta.", "gamma!", "de?", "# x", "\n", "長い文。", "é" * 30, "ok"]), min_size=1
    ).map(" ".join),
    min_size=1,
    max_size=12,
).map("\n\n".join)
texts = (prose | st.text(max_size=300)).filter(lambda text: bool(normalise(text)))
budgets = st.integers(4, 40)


@given(texts, budgets, st.sampled_from([words, len, estimate_tokens]))
def test_nothing_is_lost_the_order_is_kept_and_budgets_hold(text: str, tokens: int, count: object) -> None:
    assert callable(count)
    blocks, passages = Budget(tokens, count), Budget(max(8, tokens // 2), count)
    whole = document(text)
    try:
        cut = draft(whole, blocks, passages)
    except BudgetTooSmall:
        assume(False)  # a single character of four UTF-8 bytes beside the title
        return
    assert [block.ordinal for block in cut.blocks] == list(range(len(cut.blocks)))
    assert all(blocks.holds(block.text) and block.tokens == count(block.text) for block in cut.blocks)
    assert all(passages.holds(passage.embedded) for passage in cut.passages)
    assert all(block.kid == kid_of(block.text) and block.text == normalise(block.text) for block in cut.blocks)
    for block in cut.blocks:
        of_block = [passage for passage in cut.passages if passage.kid == block.kid]
        assert [passage.ordinal for passage in of_block] == list(range(len(of_block)))
        assert squeezed("".join(passage.text for passage in of_block)) == squeezed(block.text)
    # A text that stands twice is one block, so the document is made of the blocks, some of them repeated.
    pieces = [squeezed(block.text) for block in cut.blocks]
    assert re.fullmatch(f"(?:{'|'.join(map(re.escape, pieces))})*", squeezed(whole.text))


@given(st.integers(1, 60), st.integers(6, 30))
def test_blocks_join_to_the_document_again(paragraphs: int, tokens: int) -> None:
    text = "\n\n".join(f"Paragraph {n} has number {n}. It says {n * n}." for n in range(paragraphs))
    cut = draft(document(text), Budget(tokens, words))
    assert squeezed("".join(block.text for block in cut.blocks)) == squeezed(text)


def test_paragraphs_are_packed_whole_up_to_the_budget() -> None:
    cut = draft(document("a b c\n\nd e f\n\ng h i j"), Budget(6, words))
    assert [block.text for block in cut.blocks] == ["a b c\n\nd e f", "g h i j"]


def test_a_paragraph_is_a_passage_but_a_short_one_stands_with_what_follows() -> None:
    long = " ".join(f"w{n}" for n in range(SHORT_TOKENS))
    cut = draft(
        document(f"{long}\n\n{long}\n\nNew in 3.3.\n\nSee below.\n\n{long}\n\nThe end."), passages=Budget(240, words)
    )
    assert [passage.text for passage in cut.passages] == [
        long,
        long,
        f"New in 3.3.\n\nSee below.\n\n{long}",
        "The end.",
    ]


def test_only_a_paragraph_that_is_too_long_alone_is_cut_at_its_sentences() -> None:
    cut = draft(document("one two.\n\nA b c. D e f! “G h?” I j k l."), Budget(6, words))
    assert [block.text for block in cut.blocks] == ["one two.", "A b c. D e f!", "“G h?” I j k l."]


def test_a_sentence_that_is_too_long_is_cut_at_words_and_a_word_at_characters() -> None:
    assert [b.text for b in draft(document("a b c d e"), Budget(2, words)).blocks] == ["a b", "c d", "e"]
    assert [b.text for b in draft(document("abcdefgh"), Budget(3, len), Budget(20, len)).blocks] == ["abc", "def", "gh"]
    with pytest.raises(BudgetTooSmall):
        draft(document("abc"), Budget(0, len))


def test_a_heading_stays_with_what_it_heads() -> None:
    cut = draft(document("# Top\n\n## Part\n\na b c\n\n## Next\n\nd e f"), Budget(7, words))
    assert [block.text for block in cut.blocks] == ["# Top\n\n## Part\n\na b c", "## Next\n\nd e f"]
    assert len(cut.passages) == 2


def test_a_text_that_stands_twice_in_a_document_is_one_block() -> None:
    cut = draft(document("a b\n\nc d\n\na b"), Budget(2, words))
    assert [block.text for block in cut.blocks] == ["a b", "c d"]


def test_a_passage_carries_the_title_and_a_long_title_leaves_room_for_the_text() -> None:
    cut = draft(document("word " * 50, title="very " * 100), passages=Budget(20, words))
    assert {passage.title for passage in cut.passages} == {"very very very very very"}
    assert all(words(passage.embedded) <= 20 for passage in cut.passages)
    assert draft(document("text")).passages[0].embedded == "T\ntext"


def test_a_block_knows_its_document() -> None:
    whole = compose("text", source="a.md", title="A", version="v1", collection="c", tags=("x", "y")).document
    [block] = draft(whole).blocks
    assert (block.source, block.title, block.version, block.collection, block.tags) == (
        "a.md",
        "A",
        "v1",
        "c",
        ("x", "y"),
    )
    assert block.document_id == whole.id


@pytest.mark.parametrize(
    "text",
    [
        "Injection is pipelined, from the tail to the head, so that under LRU the head survives longest.",
        "The store holds 1,234,567 bytes at 127.0.0.1:7379; see https://example.org/a_b?c=d#e (2024-05-06).",
        "def f(x: int) -> dict[str, float]:\n    return {'a': x * 0.5, \"b\": 1e-9}",
        "Die Größe des Zwischenspeichers hängt von Länge, Schichten und Köpfen ab.",
        "キャッシュの大きさはトークン数に比例する。",
        "| a | b |\n|---|---|\n| 1 | 2 |",
    ],
)
def test_the_estimate_is_not_below_a_real_tokenizer(text: str, wordpiece: Tokenizer) -> None:
    assert estimate_tokens(text) >= len(wordpiece.encode(text, add_special_tokens=False).ids)


def test_a_line_of_number_signs_is_cut_as_fast_as_any_other() -> None:
    """A pattern that could end a heading anywhere took hours for a line like this."""
    text = "".join(f"# {number} " for number in range(5000)) + "\nplain\n\nmore"
    assert "".join(block.text for block in draft(compose(text, source="s").document).blocks).count("#") == 5000
