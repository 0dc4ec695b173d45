from __future__ import annotations

import sqlite3

from hypothesis import example, given
from hypothesis import strategies as st

from knowledge.retrieval.terms import MAX_WORDS, content_words, fts_query


def test_stop_words_and_punctuation_drop_out_and_each_word_counts_once() -> None:
    assert content_words("What is the KV cache's size, and why is a kv cache big?") == ("KV", "cache", "size", "big")
    assert content_words("Who are you?") == ()
    assert content_words("snake_case") == ("snake", "case")


def test_a_pasted_page_is_held_to_its_first_words() -> None:
    words = content_words(" ".join(f"w{n}" for n in range(1000)))
    assert words == tuple(f"w{n}" for n in range(MAX_WORDS))


@given(st.text(st.characters(exclude_categories=())) | st.text('"*:^-+(){}ANDORNT \0'))
@example('" OR title:x NEAR(a b, 2) AND NOT * ^"')
@example("\ud800 \x00 ß İ ｆｕｌｌ ²³ ½ 😀")
def test_no_question_is_read_as_search_syntax(question: str) -> None:
    words = content_words(question)
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(text, tokenize = 'porter unicode61')")
    connection.execute("INSERT INTO t VALUES (?)", (" ".join(words),))
    if words:
        connection.execute("SELECT count(*) FROM t WHERE t MATCH ?", (fts_query(words),)).fetchall()
    connection.close()
