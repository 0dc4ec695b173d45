"""Documents at hand, read and parsed: files, folders, standard input, and the samples that come with CacheRoute.

Blocks: call it before, or beside, an event loop.
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import knowledge
from cacheroute.cli.words import problems_of
from cacheroute.errors import NotFound
from knowledge.document import Document
from knowledge.errors import DocumentError
from knowledge.parse import MAX_BYTES, PARSERS, parse

SAMPLES = Path(knowledge.__file__).parent / "samples"


def samples() -> list[Document]:
    """The sample knowledge that comes with CacheRoute."""
    return [parse(f"samples/{file.name}", file.read_bytes()).document for file in sorted(SAMPLES.glob("*.md"))]


def read(
    paths: Sequence[str], collection: str, title: str | None, source: str | None
) -> tuple[list[Document], list[str]]:
    """The documents of all paths, and a line for each that cannot be read."""
    documents: list[Document] = []
    failures: list[str] = []
    for path in paths:
        try:
            files = [None] if path == "-" else _files(Path(path))
        except (NotFound, OSError) as error:
            failures += problems_of(error)
            continue
        for file in files:
            try:
                documents.append(_document(file, collection, title, source))
            except (DocumentError, OSError) as error:
                failures += problems_of(error)
    return documents, failures


def _document(file: Path | None, collection: str, title: str | None, source: str | None) -> Document:
    """One file's document, or, without a file, standard input's. Raises DocumentError, OSError."""
    if file is None:
        data = _bounded(sys.stdin.buffer)
        name = source or f"stdin-{hashlib.sha256(data).hexdigest()[:12]}"
        return parse(f"{name}.md", data, source=name, title=title, collection=collection).document
    with file.open("rb") as opened:
        data = _bounded(opened)
    name = source or file.resolve().as_posix()
    return parse(str(file), data, source=name, title=title, collection=collection).document


def _bounded(stream: IO[bytes]) -> bytes:
    """All of it, or one byte more than a document may have: not all that is read has an end."""
    return stream.read(MAX_BYTES + 1)


def _files(path: Path) -> list[Path]:
    """`path` itself; of a folder, what can be parsed in it. Raises NotFound.

    Hidden files and folders are left out, and so are links out of the folder: whoever wrote it may not read all
    that you may.
    """
    if not path.is_dir():
        return [path]
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and file.suffix.lower() in PARSERS]
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    files = [file for file in files if file.resolve().is_relative_to(path.resolve())]
    if not files:
        raise NotFound(f"{path}: holds nothing to register (known are {', '.join(PARSERS)})")
    return files
