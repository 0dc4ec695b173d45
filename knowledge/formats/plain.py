"""Text and Markdown: both are taken as they are; Markdown's title is its first heading."""

from __future__ import annotations

import re

from knowledge.formats.extract import Extract, Found, decode, first_line

_HEADING = re.compile(r"^#{1,6}[ \t]+([^\n]+)", re.MULTILINE)


def text(data: bytes) -> Found:
    decoded = decode(data)
    return (Extract(decoded, first_line(decoded)),)


def markdown(data: bytes) -> Found:
    decoded = decode(data)
    headings = (match[1].rstrip(" \t#") for match in _HEADING.finditer(decoded))
    return (Extract(decoded, next((heading for heading in headings if heading), None) or first_line(decoded)),)
