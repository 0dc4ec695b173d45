import pytest
from fakes.pdfs import pdf

from knowledge.errors import ArchiveContent, BinaryContent, BrokenContent, DocumentError, UnknownFormat
from knowledge.formats.known import by_name, recognise


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.txt", "text"),
        ("A.TXT", "text"),
        ("a.rst.txt", "reStructuredText"),
        ("a.rst", "reStructuredText"),
        ("a.htm", "HTML"),
        ("a.b.ndjson", "JSONL"),
        ("a.png", None),
        ("txt", None),
    ],
)
def test_a_format_goes_by_the_longest_suffix_that_is_known(name: str, format: str | None) -> None:
    found = by_name(name)
    assert (found.name if found else None) == format


ZIP = b"PK\x03\x04\x14\0\0\0"


@pytest.mark.parametrize(
    ("name", "data", "error", "says"),
    [
        ("a.txt", ZIP + b"notes.txt", ArchiveContent, "is a zip archive: unpack it first"),
        ("a.zip", ZIP + b"notes.txt", ArchiveContent, "is a zip archive: unpack it first"),
        ("a.docx", ZIP + b"[Content_Types].xml word/document.xml", ArchiveContent, "of Word: save it as PDF"),
        ("a.odt", ZIP + b"mimetypeapplication/vnd.oasis.opendocument.text", ArchiveContent, "OpenDocument"),
        ("a.epub", ZIP + b"mimetypeapplication/epub+zip", ArchiveContent, "EPUB"),
        ("a.md.gz", b"\x1f\x8b\x08\0", ArchiveContent, "is a gzip archive: unpack it first"),
        ("a.html", b"BZh91AY&SY\xe6", ArchiveContent, "bzip2"),
        ("a.tar", b"notes" + bytes(252) + b"ustar\0", ArchiveContent, "tar archive"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ArchiveContent, "old Microsoft Office"),
        ("a.txt", rb"{\rtf1 hello}", BinaryContent, "RTF"),
        ("a.pdf", b"<html>", BrokenContent, "is no PDF"),
        ("a.txt", pdf([["x"]]), BinaryContent, r"ends in \.pdf"),
        ("a.png", b"\x89PNG", UnknownFormat, "no parser"),
    ],
)
def test_what_only_its_name_makes_a_document_is_refused_with_what_to_do(
    name: str, data: bytes, error: type[DocumentError], says: str
) -> None:
    with pytest.raises(error, match=says):
        recognise(name, data)


def test_a_text_may_begin_as_an_archive_does() -> None:
    assert recognise("a.txt", b"BZh is what a bzip2 archive begins with.").name == "text"
