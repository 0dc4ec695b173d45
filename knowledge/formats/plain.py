"""Text and Markdown: both are taken as they are; Markdown's title is its first heading."""

from __future__ import annotations

import re

from knowledge.formats.extract import Extract, Found, decode, first_line

_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)


def text(data: bytes) -> Found:
    decoded = decode(data)
    return (Extract(decoded, first_line(decoded)),)


def markdown(data: bytes) -> Found:
    decoded = decode(data)
    heading = _HEADING.search(decoded)
    return (Extract(decoded, heading[1] if heading else first_line(decoded)),)
