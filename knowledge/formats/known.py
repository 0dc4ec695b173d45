"""The formats that can be read: which one a file is, and its parser. A new format is one module and one line here.

Parsers are imported when they are first needed: a PDF's takes longer to import than most files to parse.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from knowledge.errors import BrokenContent, TooLarge, UnknownFormat
from knowledge.formats import magic
from knowledge.formats.extract import Found, Parser

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Format:
    """One format. `parser` is "module:function"."""

    name: str
    suffixes: tuple[str, ...]
    parser: str
    max_bytes: int
    """Of a file: what is no text (a PDF's pictures, a page's scripts) or many documents may be more than a text is."""
    isolated: bool = False
    """Its parser is a large piece of foreign code that a file can lead astray: better run in a child process."""


FORMATS = (
    Format("text", (".txt", ".text"), "knowledge.formats.plain:text", 10 * _MIB),
    Format("Markdown", (".md", ".markdown"), "knowledge.formats.plain:markdown", 10 * _MIB),
    Format("HTML", (".html", ".htm", ".xhtml"), "knowledge.formats.html:page", 20 * _MIB, isolated=True),
    Format("PDF", (".pdf",), "knowledge.formats.pdf:pages", 64 * _MIB, isolated=True),
    Format("reStructuredText", (".rst", ".rst.txt"), "knowledge.formats.rst:source", 10 * _MIB, isolated=True),
    Format("JSONL", (".jsonl", ".ndjson"), "knowledge.formats.jsonl:lines", 64 * _MIB),
)

_BY_SUFFIX = sorted(
    ((suffix, format) for format in FORMATS for suffix in format.suffixes), key=lambda pair: -len(pair[0])
)
SUFFIXES = tuple(suffix for format in FORMATS for suffix in format.suffixes)
BY_NAME = {format.name: format for format in FORMATS}
MAX_FILE_BYTES = max(format.max_bytes for format in FORMATS)


def by_name(file_name: str) -> Format | None:
    """The format of a file of that name, by its longest suffix that is known."""
    name = file_name.lower()
    return next((format for suffix, format in _BY_SUFFIX if name.endswith(suffix)), None)


def recognise(file_name: str, data: bytes) -> Format:
    """The format of a file; its name is only looked at. Raises UnknownFormat, ArchiveContent, BinaryContent,
    BrokenContent or TooLarge.
    """
    format = by_name(file_name)
    magic.check(data, pdf=format is not None and format.name == "PDF")
    if format is None:
        raise UnknownFormat(f"no parser for it; known are {', '.join(SUFFIXES)}")
    if len(data) > format.max_bytes:
        raise TooLarge(f"{len(data):,} bytes, more than the {format.max_bytes:,} allowed for {format.name}")
    return format


def extract(format: Format, data: bytes) -> Found:
    """What the format's parser finds, computed here and now. Raises DocumentError."""
    module, _, function = format.parser.partition(":")
    parser: Parser = getattr(import_module(module), function)
    try:
        return parser(data)
    except RecursionError as error:
        raise BrokenContent("nested too deeply to be read") from error
