"""Which characters a page's bytes are: its byte order mark, what it declares, else UTF-8. Pure."""

from __future__ import annotations

import codecs
import re

from knowledge.errors import BadEncoding, BinaryContent

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DECLARED = re.compile(
    rb"""<meta\s[^>]{0,300}?charset\s*=\s*["']?\s*([\w:.-]{1,40})|^\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([\w:.-]{1,40})""",
    re.IGNORECASE,
)
_DECLARED_WITHIN = 4096
_TAKEN = re.compile(
    r"(us-)?ascii|utf-?8|utf-?16([lb]e)?|iso[-_]?8859-?\d{1,2}|latin-?\d|l1|(windows-|cp)12\d\d|koi8-[ru]|macintosh"
    r"|big5(-hkscs)?|gbk|gb2312|gb18030|euc-(jp|kr)|shift[-_]?jis|sjis|x-sjis|windows-31j|iso-2022-jp|tis-620"
)
"""Of Python's codecs those of the web. The rest are none of characters, or are there to fool a filter."""
_AS_THE_WEB_HAS_IT = {"iso-8859-1": "windows-1252", "latin1": "windows-1252", "us-ascii": "windows-1252",
                      "ascii": "windows-1252", "x-sjis": "shift_jis", "windows-31j": "cp932"}  # fmt: skip


def decode(data: bytes) -> str:
    """Raises BadEncoding naming the byte, or the charset that is none; BinaryContent for NUL bytes."""
    charset = next((charset for mark, charset in _MARKS if data.startswith(mark)), None) or _declared(data)
    try:
        text = data.decode(charset or "utf-8")
    except UnicodeDecodeError as error:
        hint = "" if charset else ", and it declares no charset"
        raise BadEncoding(
            f"not {charset or 'UTF-8'}: byte {data[error.start]:#04x} at offset {error.start:,}{hint}"
        ) from error
    if "\0" in text:
        raise BinaryContent("contains NUL characters, so it is no page")
    return text


def _declared(data: bytes) -> str | None:
    found = _DECLARED.search(data[:_DECLARED_WITHIN])
    if found is None:
        return None
    label = (found[1] or found[2]).decode("ascii", "replace").lower()
    if not _TAKEN.fullmatch(label):
        raise BadEncoding(f"declares the charset {label!r}, which is not known: save it as UTF-8")
    if label.startswith(("utf-16", "utf16")):
        return "utf-8"  # a declaration that could be read as ASCII is not in UTF-16; browsers take it so, too
    name = _AS_THE_WEB_HAS_IT.get(label, label)
    try:
        return codecs.lookup(name).name
    except LookupError as error:
        raise BadEncoding(f"declares the charset {label!r}, which is not known: save it as UTF-8") from error
