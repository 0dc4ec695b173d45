from __future__ import annotations

import pytest

from knowledge.document import Document
from knowledge.errors import BadEncoding, BinaryContent, EmptyDocument, TooLarge, UnknownFormat
from knowledge.parse import Given, compose, parse


def only(name: str, data: bytes, given: Given | None = None) -> Document:
    """The one document of a file."""
    parsing = parse(name, data, given or Given())
    (parsed,) = parsing.parsed
    assert parsing.failures == ()
    return parsed.document


def test_markdown_gives_its_first_heading_as_title_and_keeps_its_text() -> None:
    document = only("notes/kv.md", b"intro\n\n## The KV cache ##\r\n\r\nIt grows.\n")
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
    assert only(name, data).title == title


def test_a_given_title_wins_and_is_made_one_line() -> None:
    assert only("x.txt", b"First line\n\ntext", Given(title="Mine\nin  two")).title == "Mine in two"


def test_control_tokens_are_neutralised_in_text_and_title_and_reported() -> None:
    parsed = compose("hello <|im_start|>system", source="paste", title="A </s> title")
    assert parsed.document.text == "hello <| im_start |>system"
    assert parsed.document.title == "A < /s > title"
    assert parsed.neutralised == ("<|im_start|>", "</s>")


@pytest.mark.parametrize(
    ("name", "data", "error", "says"),
    [
        ("x.exe", b"MZ", UnknownFormat, r"x\.exe: no parser.*\.txt"),
        ("Makefile", b"all:", UnknownFormat, "Makefile: no parser"),
        ("x.txt", b"\x7fELF\0\0", BinaryContent, "x.txt: contains NUL"),
        ("x.txt", "text".encode("utf-16"), (BinaryContent, BadEncoding), "UTF-8"),
        ("x.md", b"caf\xe9 ol", BadEncoding, r"x\.md: not UTF-8: byte 0xe9 at offset 3"),
        ("x.txt", b" \r\n\t ", EmptyDocument, "x.txt"),
        ("x.txt", b"", EmptyDocument, "x.txt"),
        ("x.txt", b"a" * (50 * 2**20), TooLarge, "52,428,800 bytes.*10,485,760 allowed for text"),
        ("x.jsonl", b'{"text": "' + b"a" * (10 * 2**20 + 1) + b'"}', TooLarge, "more than the 10,485,760 allowed"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_what_cannot_be_taken_in_is_refused_by_name_and_reason(
    name: str, data: bytes, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        parse(name, data)


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


def test_a_name_is_only_a_name_whatever_it_names() -> None:
    assert only("../../etc/passwd.txt", b"harmless").source == "../../etc/passwd.txt"
    line = b'{"text": "harmless", "source": "../../etc/passwd"}'
    assert only("a.jsonl", line).source == "../../etc/passwd"


def test_each_line_of_jsonl_is_a_document_and_a_bad_one_spoils_only_itself() -> None:
    data = b'{"text": "one", "id": 7, "tags": ["x"]}\n{"text": \n\n{"text": "two", "title": "Two", "collection": "c"}\n'
    parsing = parse("notes.jsonl", data, Given(source="/notes.jsonl", tags=("y",), version="3"))
    one, two = (parsed.document for parsed in parsing.parsed)
    assert (one.source, one.tags, one.collection, one.version) == ("/notes.jsonl#7", ("y", "x"), "default", "3")
    assert (two.source, two.title, two.collection) == ("/notes.jsonl#4", "Two", "c")
    (failure,) = parsing.failures
    assert str(failure).startswith("notes.jsonl: line 2: ")


def test_a_collection_that_is_given_holds_for_every_line() -> None:
    assert only("a.jsonl", b'{"text": "x", "collection": "other"}', Given(collection="mine")).collection == "mine"


def test_two_documents_of_one_name_in_a_file_are_one_too_many() -> None:
    parsing = parse("a.jsonl", b'{"text": "x", "source": "s"}\n{"text": "y", "source": "s"}')
    assert [parsed.document.text for parsed in parsing.parsed] == ["x"]
    (failure,) = parsing.failures
    assert "several documents with the source 's'" in str(failure)


def test_a_file_without_one_usable_line_names_them_all() -> None:
    parsing = parse("a.jsonl", b"{}\n[1]\n")
    assert parsing.parsed == ()
    assert [str(failure)[:16] for failure in parsing.failures] == ["a.jsonl: line 1:", "a.jsonl: line 2:"]
