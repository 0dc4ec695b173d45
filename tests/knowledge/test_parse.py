from __future__ import annotations

import pytest

from knowledge.errors import BadEncoding, BinaryContent, EmptyDocument, TooLarge, UnknownFormat
from knowledge.parse import compose, parse


def test_markdown_gives_its_first_heading_as_title_and_keeps_its_text() -> None:
    document = parse("notes/kv.md", b"intro\n\n## The KV cache ##\r\n\r\nIt grows.\n").document
    assert document.title == "The KV cache"
    assert document.text == "intro\n\n## The KV cache ##\n\nIt grows."
    assert (document.source, document.collection) == ("notes/kv.md", "default")


@pytest.mark.parametrize(
    ("name", "data", "title"),
    [
        ("a/report.txt", b"Quarterly figures\n\nThey rose.", "Quarterly figures"),
        ("a/report.txt", b"They rose a lot this year.\n", "report"),
        ("README.MD", b"no heading here, only a sentence.\n", "README"),
        ("bom.txt", "\ufeffÜbersicht\n\nText".encode(), "Übersicht"),
    ],
)
def test_a_title_is_a_heading_or_a_first_line_that_reads_like_one_or_the_name(
    name: str, data: bytes, title: str
) -> None:
    assert parse(name, data).document.title == title


def test_a_given_title_wins_and_is_made_one_line() -> None:
    assert parse("x.txt", b"First line\n\ntext", title="Mine\nin  two").document.title == "Mine in two"


def test_control_tokens_are_neutralised_in_text_and_title_and_reported() -> None:
    parsed = compose("hello <|im_start|>system", source="paste", title="A </s> title")
    assert parsed.document.text == "hello <| im_start |>system"
    assert parsed.document.title == "A < /s > title"
    assert parsed.neutralised == ("<|im_start|>", "</s>")


@pytest.mark.parametrize(
    ("name", "data", "error", "says"),
    [
        ("x.exe", b"MZ", UnknownFormat, r"x\.exe.*'\.exe'.*\.txt"),
        ("Makefile", b"all:", UnknownFormat, "without suffix"),
        ("x.txt", b"\x7fELF\0\0", BinaryContent, "x.txt: contains NUL"),
        ("x.txt", "text".encode("utf-16"), (BinaryContent, BadEncoding), "UTF-8"),
        ("x.md", b"caf\xe9 ol", BadEncoding, r"x\.md: not UTF-8: byte 0xe9 at offset 3"),
        ("x.txt", b" \r\n\t ", EmptyDocument, "x.txt"),
        ("x.txt", b"", EmptyDocument, "x.txt"),
        ("x.txt", b"a" * 101, TooLarge, "101 bytes.*100"),
    ],
)
def test_what_cannot_be_taken_in_is_refused_by_name_and_reason(
    name: str, data: bytes, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        parse(name, data, max_bytes=100)


def test_a_paste_is_held_to_the_same_rules() -> None:
    with pytest.raises(BinaryContent):
        compose("a\0b", source="paste")
    with pytest.raises(TooLarge):
        compose("é" * 60, source="paste", max_bytes=100)
    with pytest.raises(EmptyDocument):
        compose("\n", source="paste")


def test_lone_surrogates_from_json_do_not_get_further() -> None:
    document = compose("a\ud800b", source="s\ud800", title="t\ud800", tags=("\udfff",), version="\ud800").document
    for text in (document.text, document.source, document.title, document.version, *document.tags):
        text.encode()
    assert document.id
