import pytest

from knowledge.errors import BrokenContent, DocumentError, EmptyDocument, TooLarge
from knowledge.formats import jsonl
from knowledge.formats.extract import Extract
from knowledge.formats.jsonl import lines


def test_a_line_says_all_that_a_document_has() -> None:
    line = '{"content":"x","title":"t","source":"s","version":2,"collection":"c","tags":["a"],"other":[1]}'
    assert lines(b"\xef\xbb\xbf" + line.encode()) == (Extract("x", "t", "s", "2", "c", ("a",)),)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "line 2: "),
        (b'{"text": 5}', "line 2: .*text"),
        (b'{"title": "no text"}', 'line 2: no "text"'),
        (b'{"text": "a\\u0000b"}', "line 2: .*NUL"),
        (b'{"text": "caf\xe9"}', "line 2: "),
        (b'{"text": "x", "tags": "y"}', "line 2: .*tags"),
        (b'{"text": "x", "source": ""}', "line 2: .*source"),
        (b'{"other":' + b"[" * 200_000, "line 2: "),
    ],
)
def test_a_bad_line_is_named_by_its_number_and_spoils_only_itself(line: bytes, says: str) -> None:
    first, second, third = lines(b'{"text":"one"}\n' + line + b'\r\n{"text":"three"}\r\n')
    assert isinstance(first, Extract)
    assert isinstance(third, Extract)
    assert isinstance(second, DocumentError)
    with pytest.raises(DocumentError, match=says):
        raise second


def test_no_line_is_no_document() -> None:
    with pytest.raises(EmptyDocument):
        lines(b"\n \n")


def test_a_file_that_is_no_list_of_documents_is_given_up_early() -> None:
    with pytest.raises(BrokenContent, match="more than 100 lines that cannot be used, the last: line 101"):
        lines(b"[]\n" * 1_000_000)


def test_more_documents_than_can_be_held_are_to_be_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_DOCUMENTS", 2)
    with pytest.raises(TooLarge, match="more than 2 documents: split it"):
        lines(b'{"text":"x"}\n' * 3)
