"""What bytes are by how they begin, whatever their name says: refuses what is a container of other files. Pure."""

from __future__ import annotations

from knowledge.errors import ArchiveContent, BinaryContent, BrokenContent

_ARCHIVES = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
)
_OFFICE = ((b"word/", "Word"), (b"xl/", "Excel"), (b"ppt/", "PowerPoint"), (b"opendocument", "OpenDocument"))
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_HEAD = 16384
"""The first names in a zip are within that much of it."""
_TAR_MARK, _TAR_AT = b"ustar", 257
_PDF, _PDF_WITHIN = b"%PDF-", 1024
_SAVE_AS = "save it as PDF, HTML or text first"


def check(data: bytes, *, pdf: bool) -> None:
    """`pdf`: whether the name says that it is one.

    Raises ArchiveContent, BinaryContent for a format that only its name hides, BrokenContent for a PDF that is none.
    """
    if data.startswith(_ZIP):
        _refuse_zip(data[:_HEAD])
    for mark, what in _ARCHIVES:
        if data.startswith(mark) and _is_binary(data):
            raise ArchiveContent(f"is {what}: unpack it first")
    if data[_TAR_AT : _TAR_AT + len(_TAR_MARK)] == _TAR_MARK:
        raise ArchiveContent("is a tar archive: unpack it first")
    if data.startswith(_OLE):
        raise ArchiveContent(f"is a document of an old Microsoft Office: {_SAVE_AS}")
    if data.startswith(rb"{\rtf"):
        raise BinaryContent(f"is rich text (RTF): {_SAVE_AS}")
    if pdf and data and _PDF not in data[:_PDF_WITHIN]:
        raise BrokenContent("is no PDF, whatever its name says")
    if not pdf and data.startswith(_PDF):
        raise BinaryContent("is a PDF: give it a name that ends in .pdf")


def _refuse_zip(head: bytes) -> None:
    """Raises ArchiveContent with the name of the program that such a zip is saved by."""
    for mark, what in _OFFICE:
        if mark in head:
            raise ArchiveContent(f"is a document of {what}: {_SAVE_AS}")
    if b"application/epub+zip" in head:
        raise ArchiveContent("is an e-book (EPUB, a zip archive): unpack it first, and add its HTML")
    raise ArchiveContent("is a zip archive: unpack it first")


def _is_binary(data: bytes) -> bool:
    """Whether the beginning is no plain ASCII text: a text may well begin with BZh."""
    return any(byte < 9 or byte > 126 for byte in data[:64])
