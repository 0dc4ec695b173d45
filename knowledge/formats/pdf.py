"""PDF -> text by pypdf: pages joined to paragraphs. A password, damage, or no text at all are errors that say so.

What pypdf gives is lines as they were set; `knowledge.formats.lines` makes paragraphs of them.
"""

from __future__ import annotations

import io
import logging
import re

from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError, PyPdfError

from knowledge.errors import BrokenContent, EncryptedContent, NoText, TooCostly
from knowledge.formats.extract import Extract, Found, first_line
from knowledge.formats.lines import paragraphs

_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_NO_TITLE = re.compile(
    r"untitled.*|(microsoft )?(word|powerpoint|excel) - .*|.*\.(docx?|pptx?|tex|dvi|indd|pdf)|slide 1", re.IGNORECASE
)
"""What programs write as a title when nobody gave one."""

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it says on stderr what it mends


def pages(data: bytes) -> Found:
    """Raises EncryptedContent, BrokenContent, NoText, TooCostly."""
    try:
        reader = PdfReader(io.BytesIO(data))
        _open(reader)
        texts = [_UNSEEN.sub("", page.extract_text()) for page in reader.pages]
        title = _title(reader)
    except (FileNotDecryptedError, DependencyError) as error:
        raise EncryptedContent(
            "is encrypted: save it without a password first (e.g. qpdf --decrypt in.pdf out.pdf)"
        ) from error
    except LimitReachedError as error:
        raise TooCostly(f"holds more than can be read safely: {error}") from error
    except (MemoryError, RecursionError):
        raise
    except (PyPdfError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError, AssertionError,
            NotImplementedError) as error:  # fmt: skip # what pypdf falls over in a damaged file is of any kind
        raise BrokenContent(f"is a damaged PDF ({str(error)[:200] or type(error).__name__}): save it anew") from error
    text = paragraphs(texts)
    if not text.strip():
        count = "its 1 page has" if len(texts) == 1 else f"its {len(texts)} pages have"
        raise NoText(f"{count} no text, as a scan's: recognise it first (e.g. ocrmypdf in.pdf out.pdf)")
    return (Extract(text, title or first_line(text)),)


def _open(reader: PdfReader) -> None:
    """A PDF that only forbids printing opens with an empty password. Raises EncryptedContent, DependencyError."""
    if reader.is_encrypted and not reader.decrypt(""):
        raise EncryptedContent("needs a password: save it without one first (e.g. qpdf --decrypt in.pdf out.pdf)")


def _title(reader: PdfReader) -> str | None:
    title = reader.metadata.title if reader.metadata is not None else None
    title = _UNSEEN.sub("", str(title)).strip() if title else ""
    return title if title and not _NO_TITLE.fullmatch(title) else None
