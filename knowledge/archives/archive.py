"""A library as one file: gzip'd JSON lines, the first a header, then one document a line.

Writing takes documents and gives bytes; reading takes bytes as they come and gives documents, each checked whole. The
same documents make the same bytes but for the header's stamp. Knows no library, no file and no network.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from knowledge.archives.line import Archived, decoded, encoded
from knowledge.embedding import DIMENSIONS
from knowledge.errors import ArchiveError, NotAnArchive, TooLarge

FORMAT = "cacheroute-knowledge"
VERSION = 1
MAX_LINE_BYTES = 64 * 2**20

_GZIP = 31  # zlib's wbits for a gzip header and trailer; the header's time stays 0
_LEVEL = 4  # base64 of floats packs no better at 9
_PIECE_BYTES = 2**20


class Header(Struct, frozen=True, kw_only=True):
    """The first line: what follows it, so that a reader knows when something is missing."""

    format: str = FORMAT
    version: int = VERSION
    dimensions: int = DIMENSIONS
    """Of the embedding model's vectors."""
    created_at: str
    """Wall clock, ISO 8601, for people."""
    collection: str | None
    """The only one that is in it; None: all."""
    documents: int
    blocks: int
    passages: int


@dataclass(frozen=True, slots=True)
class Flaw:
    """A line that cannot be used, counted from 1."""

    line: int
    why: str


def written(header: Header, documents: Iterable[Archived]) -> Iterator[bytes]:
    """The file, piece by piece. A document without vectors is written with none, and embedded when it is read."""
    gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    yield gzip.compress(msgspec.json.encode(header) + b"\n")
    for document in documents:
        yield gzip.compress(encoded(document) + b"\n")
    yield gzip.flush()


class Reader:
    """Reads a file that comes in pieces: `feed` each, then `end`.

    Takes at most `max_bytes`, packed or unpacked, so that a small file cannot become a huge one; holds one line.
    """

    def __init__(self, max_bytes: int) -> None:
        self.header: Header | None = None
        self._max_bytes = max_bytes
        self._gzip = zlib.decompressobj(_GZIP)
        self._packed = 0
        self._unpacked = 0
        self._lines = 0
        self._rest = bytearray()
        self._too_long = False

    def feed(self, piece: bytes) -> Iterator[Archived | Flaw]:
        """The documents that end in this piece; to be read to its end before the next.

        Raises NotAnArchive, ArchiveError where nothing more can be read, TooLarge.
        """
        self._packed = self._bounded(self._packed + len(piece))
        for unpacked in self._unpack(piece):
            *ends, rest = unpacked.split(b"\n")
            for end in ends:
                self._keep(end)
                yield from self._line()
            self._keep(rest)

    def end(self) -> None:
        """Raises ArchiveError where something is missing, NotAnArchive where all of it is."""
        if self.header is None:
            raise NotAnArchive("this is no export of a library: it ends before its first line does")
        documents = f"{self._lines - 1} of {self.header.documents} documents"
        if not self._gzip.eof:
            raise ArchiveError(f"the file is cut off after {documents}: import the whole file to have the others")
        if self._lines - 1 != self.header.documents or self._rest:
            raise ArchiveError(f"the file says that it is whole, but has {documents}")

    def _unpack(self, piece: bytes) -> Iterator[bytes]:
        if piece and self._gzip.eof:
            raise ArchiveError("something follows the end of the file")
        while not self._gzip.eof:
            try:
                unpacked = self._gzip.decompress(piece, _PIECE_BYTES)
            except zlib.error as error:
                if self.header is None:
                    raise NotAnArchive(
                        f"this is no export of a library, or it is damaged at its beginning ({error})"
                    ) from error
                raise ArchiveError(f"the file is damaged after line {self._lines}: {error}") from error
            self._unpacked = self._bounded(self._unpacked + len(unpacked))
            yield unpacked
            piece = self._gzip.unconsumed_tail
            if not piece and len(unpacked) < _PIECE_BYTES:
                break
        if self._gzip.unused_data:
            raise ArchiveError("something follows the end of the file")

    def _keep(self, part: bytes) -> None:
        self._too_long = self._too_long or len(self._rest) + len(part) > MAX_LINE_BYTES
        if self._too_long:
            self._rest.clear()
        else:
            self._rest += part

    def _line(self) -> Iterator[Archived | Flaw]:
        line, too_long = bytes(self._rest), self._too_long
        self._rest.clear()
        self._too_long = False
        self._lines += 1
        if self.header is None:
            self.header = _header(line)
        elif too_long:
            yield Flaw(self._lines, f"it is longer than {MAX_LINE_BYTES:,} bytes")
        else:
            try:
                yield decoded(line, with_vectors=self.header.dimensions == DIMENSIONS)
            except ArchiveError as error:
                yield Flaw(self._lines, str(error))

    def _bounded(self, nbytes: int) -> int:
        if nbytes > self._max_bytes:
            raise TooLarge(f"the file is larger than the {self._max_bytes:,} bytes that are taken, packed or unpacked")
        return nbytes


def _header(line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnArchive(f"this is no export of a library: its first line is no header ({error})") from error
    if header.format != FORMAT:
        raise NotAnArchive(f"this is no export of a library, but {header.format[:40]!r}")
    if header.version > VERSION:
        raise NotAnArchive(f"this export has format {header.version}, this program knows up to {VERSION}")
    return header
