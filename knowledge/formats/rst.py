"""reStructuredText -> Markdown by docutils, sources of Sphinx too. Opens no file, takes nothing raw."""

from __future__ import annotations

from docutils.frontend import get_default_settings
from docutils.parsers.rst import Parser
from docutils.transforms.references import Footnotes, Substitutions
from docutils.utils import new_document

from knowledge.formats import sphinx
from knowledge.formats.doctree import markdown, title_of
from knowledge.formats.extract import Extract, Found, decode

_TRANSFORMS = (Substitutions, Footnotes)
"""Others resolve links and move things about: nothing that changes what a reader reads."""
_SILENCE = 5
_LONGEST_LINE = 1_000_000
"""docutils refuses a whole file for one line above that."""


def source(data: bytes) -> Found:
    text = decode(data)
    sphinx.register(text)
    settings = get_default_settings(Parser())
    settings.file_insertion_enabled = False
    settings.raw_enabled = False
    settings.report_level = settings.halt_level = _SILENCE
    settings.warning_stream = False
    settings.syntax_highlight = "none"
    settings.smart_quotes = False
    settings.strip_comments = True
    settings.line_length_limit = _LONGEST_LINE
    document = new_document("source", settings)
    Parser().parse(text, document)
    for transform in _TRANSFORMS:
        transform(document).apply()
    return (Extract(markdown(document), title_of(document)),)
