"""Documents at hand: which files there are in what a command line names, their bytes, and the samples that come with
CacheRoute. Blocks: call it before, or beside, an event loop. Knows no format but by its suffix.
"""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import knowledge
from cacheroute.cli.words import problems_of
from cacheroute.errors import NotFound
from knowledge.document import Document
from knowledge.formats.known import MAX_FILE_BYTES, SUFFIXES, by_name
from knowledge.parse import Given, parse

SAMPLES = Path(knowledge.__file__).parent / "samples"


@dataclass(frozen=True, slots=True)
class File:
    """A file to be read; without a path, what came by standard input."""

    path: Path | None
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is there to be read, a line for each path that cannot be, and how many files have no known format."""

    files: tuple[File, ...]
    failures: tuple[str, ...] = ()
    passed_over: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes, the name to parse them by, and what is given of it, its source at the least."""

    name: str
    data: bytes
    given: Given


def samples() -> list[Document]:
    """The sample knowledge that comes with CacheRoute."""
    parsings = (parse(f"samples/{file.name}", file.read_bytes()) for file in sorted(SAMPLES.glob("*.md")))
    return [parsed.document for parsing in parsings for parsed in parsing.parsed]


def find(paths: Sequence[str]) -> Listing:
    """The files of all paths, each once. Standard input is read here and now: who waits for it can be interrupted."""
    files: dict[File, None] = {}
    failures: list[str] = []
    passed_over = 0
    for path in paths:
        try:
            found, others = ([File(None, _bounded(sys.stdin.buffer))], 0) if path == "-" else _files(Path(path))
        except (NotFound, OSError) as error:
            failures += problems_of(error)
        else:
            files.update(dict.fromkeys(found))
            passed_over += others
    return Listing(tuple(files), tuple(failures), passed_over)


def read(file: File, given: Given) -> Content:
    """A file's content: no more than a byte more than any format may have. Raises OSError."""
    if file.path is None:
        name = given.source or f"stdin-{hashlib.sha256(file.data).hexdigest()[:12]}"
        return Content(f"{name}.md", file.data, replace(given, source=name))
    with file.path.open("rb") as opened:
        data = _bounded(opened)
    return Content(str(file.path), data, replace(given, source=given.source or file.path.resolve().as_posix()))


def _bounded(stream: IO[bytes]) -> bytes:
    """All of it, or one byte more than a file may have: not all that is read has an end."""
    return stream.read(MAX_FILE_BYTES + 1)


def _files(path: Path) -> tuple[list[File], int]:
    """`path` itself; of a folder, what can be parsed in it, and how many files cannot. Raises NotFound.

    Hidden files and folders are left out, and so are links out of the folder: whoever wrote it may not read all
    that you may.
    """
    if not path.is_dir():
        return [File(path)], 0
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    files = [file for file in files if file.resolve().is_relative_to(path.resolve())]
    known = [File(file) for file in files if by_name(file.name) is not None]
    if not known:
        raise NotFound(f"{path}: holds nothing to register (known are {', '.join(SUFFIXES)})")
    return known, len(files) - len(known)
