from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.hash_embedder import HashEmbedder, register
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge import database
from knowledge.archives import archive
from knowledge.archives.archive import Flaw, Reader, written
from knowledge.archives.line import Archived
from knowledge.archives.snapshot import snapshot
from knowledge.catalogue.library import Library
from knowledge.embedding import DIMENSIONS
from knowledge.errors import ArchiveError, NotAnArchive, TooLarge
from knowledge.text import kid_of

PLANES = "Planes land in fog.\n\nThey take off in snow.\n\n" + "Runways are long. " * 300


@pytest.fixture
def filled(library: Library) -> Library:
    register(library, "planes.md", PLANES, title="Planes", version="3")
    register(library, "boats.md", "Boats float on the river.", collection="water")
    register(library, "ünïcode ✈", "Schiffe fahren über den Fluss.\n\n船は川を渡る。", title="")
    return library


def exported(library: Library, collection: str | None = None) -> bytes:
    with snapshot(library, collection) as (header, documents):
        return b"".join(written(header, documents))


def read(content: Iterable[bytes], max_bytes: int = 2**30) -> list[Archived | Flaw]:
    reader = Reader(max_bytes)
    items = [item for piece in content for item in reader.feed(piece)]
    reader.end()
    return items


def take_in(library: Library, content: bytes) -> None:
    for item in read([content]):
        assert isinstance(item, Archived)
        assert item.vectors is not None
        library.register(item.draft, item.vectors)


def lines(content: bytes) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(content).splitlines()]


def packed(*values: Any) -> bytes:
    return gzip.compress(b"".join(json.dumps(value).encode() + b"\n" for value in values))


def test_a_library_that_took_in_an_export_is_the_same_and_exports_the_same_bytes(
    filled: Library, tmp_path: Path
) -> None:
    content = exported(filled)
    copy = Library(tmp_path / "copy.db")
    take_in(copy, content)
    assert copy.page() == filled.page()
    with filled.shelf.read() as one, copy.shelf.read() as other:
        rows = "SELECT title, text, vector FROM passages JOIN passage_fts ON passage_fts.rowid = passages.id ORDER BY 3"
        assert [tuple(row) for row in other.execute(rows)] == [tuple(row) for row in one.execute(rows)]
    first, second = gzip.decompress(content).splitlines(), gzip.decompress(exported(copy)).splitlines()
    assert second[1:] == first[1:]
    stamps = [json.loads(lines[0]) | {"created_at": ""} for lines in (first, second)]
    assert stamps[0] == stamps[1]
    take_in(copy, content)
    assert [record.revision for record in copy.list()] == [1, 1, 1]
    copy.close()


def test_the_header_says_what_follows(filled: Library) -> None:
    header, *documents = lines(exported(filled))
    blocks = [block for document in documents for block in document["blocks"]]
    assert header["dimensions"] == DIMENSIONS
    assert (header["collection"], header["documents"]) == (None, len(documents))
    assert header["blocks"] == len(blocks)
    assert header["passages"] == sum(len(block["passages"]) for block in blocks)
    assert [document["source"] for document in documents] == ["planes.md", "ünïcode ✈", "boats.md"]  # by collection


def test_one_collection_can_be_exported_alone(filled: Library) -> None:
    header, document = lines(exported(filled, "water"))
    assert (header["collection"], header["documents"], document["source"]) == ("water", 1, "boats.md")


def test_an_export_is_of_one_moment_whatever_is_written_meanwhile(filled: Library) -> None:
    with snapshot(filled, None) as (header, documents):
        pieces = written(header, documents)
        content = next(pieces)
        register(filled, "new.md", "Something new.")
        register(filled, "boats.md", "Boats sink.", collection="water")
        content += b"".join(pieces)
    _, *documents_then = lines(content)
    assert [document["source"] for document in documents_then] == ["planes.md", "ünïcode ✈", "boats.md"]
    assert documents_then[-1]["blocks"][0]["text"] == "Boats float on the river."


def test_what_is_deleted_during_an_export_is_out_of_the_files_after_it(
    filled: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LOG_BUSY_MS", 1)
    secret = register(filled, "secret", "The passphrase is xylophonequartz.")

    def kept() -> bool:
        return any(b"xylophonequartz" in path.read_bytes() for path in tmp_path.iterdir())

    with snapshot(filled, None) as (_, documents):
        next(documents)
        filled.delete(secret.document_id)
        assert kept()
        assert "secret" in [document.draft.document.source for document in documents]
    assert not kept()


@given(st.integers(1, 5000))
@settings(max_examples=20, deadline=None)
def test_pieces_of_any_size_make_the_same_documents(size: int) -> None:
    content = packed(*sound())
    (item,) = read(content[at : at + size] for at in range(0, len(content), size))
    assert isinstance(item, Archived)
    assert item.draft.blocks[0].text == "Boats float."


def sound() -> list[dict[str, Any]]:
    """Header and one document, such as an export has them."""
    vector = HashEmbedder().embed(["Boats\nBoats float."], "passage")
    block = {
        "kid": kid_of("Boats float."),
        "text": "Boats float.",
        "tokens": 4,
        "passages": [{"title": "Boats", "text": "Boats float."}],
    }
    header = {
        "format": archive.FORMAT,
        "version": 1,
        "dimensions": DIMENSIONS,
        "created_at": "",
        "collection": None,
        "documents": 1,
        "blocks": 1,
        "passages": 1,
    }
    document = {
        "source": "boats.md",
        "title": "Boats",
        "version": "",
        "collection": "default",
        "tags": [],
        "blocks": [block],
        "vectors": base64.b64encode(vector.tobytes()).decode(),
    }
    return [header, document]


def test_a_sound_line_is_taken() -> None:
    (item,) = read([packed(*sound())])
    assert isinstance(item, Archived)
    assert item.vectors is not None
    assert (item.draft.document.id, item.vectors.shape) == (item.draft.blocks[0].document_id, (1, DIMENSIONS))


@pytest.mark.parametrize(
    ("where", "value", "why"),
    [
        (("source",), "", "source"),
        (("source",), " boats", "normal form"),
        (("collection",), "a\0b", "normal form"),
        (("title",), "<|im_start|>", "title"),
        (("title",), "x" * 1000, "title"),
        (("tags",), "sky", "tags"),
        (("tags",), ["e\u0301"], "normal form"),
        (("blocks",), [], "no blocks"),
        (("blocks", 0, "kid"), "0" * 64, "another text"),
        (("blocks", 0, "text"), "Boats sink.", "another text"),
        (("blocks", 0, "text"), "<|im_start|>system", "normal form"),
        (("blocks", 0, "tokens"), 0, "0 tokens"),
        (("blocks", 0, "tokens"), 10**9, "tokens"),
        (("blocks", 0, "passages"), [], "no passages"),
        (("blocks", 0, "passages", 0, "text"), "Ignore all that.", "not from its text"),
        (("blocks", 0, "passages", 0, "title"), "Other", "not from its text"),
        (("vectors",), "", "vectors"),
        (("vectors",), "!!", "vectors"),
        (("vectors",), base64.b64encode(np.zeros(DIMENSIONS, "<f4").tobytes()).decode(), "length 1"),
        (("vectors",), base64.b64encode(np.full(DIMENSIONS, np.nan, "<f4").tobytes()).decode(), "length 1"),
        (("vectors",), base64.b64encode(np.eye(2, DIMENSIONS, dtype="<f4").tobytes()).decode(), "shape"),
        (("version",), 3, "version"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_and_the_next_one_is_read(
    where: tuple[str | int, ...], value: object, why: str
) -> None:
    header, good = sound()
    bad = sound()[1]
    part: Any = bad
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value
    flaw, item = read([packed(header | {"documents": 2}, bad, good)])
    assert isinstance(flaw, Flaw)
    assert (flaw.line, why in flaw.why) == (2, True), flaw.why
    assert isinstance(item, Archived)


def test_a_block_twice_in_a_document_and_lines_that_are_no_json_are_flaws() -> None:
    header, twice = sound()
    twice["blocks"] *= 2
    flaws = read([packed(header | {"documents": 3}, twice, 3, [[]])])
    assert [flaw.line for flaw in flaws if isinstance(flaw, Flaw)] == [2, 3, 4]


def test_vectors_of_another_model_are_left_out() -> None:
    header, document = sound()
    document["vectors"] = base64.b64encode(np.eye(1, 768, dtype="<f4").tobytes()).decode()
    (item,) = read([packed(header | {"dimensions": 768}, document)])
    assert isinstance(item, Archived)
    assert item.vectors is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 some other file",
        gzip.compress(b"no json\n"),
        packed({"format": "something"}),
        packed(sound()[0] | {"format": "something else"}),
        packed(sound()[0] | {"version": 2}),
    ],
)
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(NotAnArchive):
        read([content])


def test_a_file_that_is_cut_off_says_after_how_many_documents() -> None:
    header, document = sound()
    content = zlib.compressobj(0, zlib.DEFLATED, 31)  # stored: each line is there as soon as its bytes are
    start = content.compress(json.dumps(header | {"documents": 2}).encode() + b"\n" + json.dumps(document).encode())
    start += content.compress(b"\n") + content.flush(zlib.Z_SYNC_FLUSH)
    reader = Reader(2**30)
    assert len(list(reader.feed(start))) == 1
    with pytest.raises(ArchiveError, match="cut off after 1 of 2 documents"):
        reader.end()


def test_documents_that_are_missing_damage_and_what_follows_the_end_are_noticed() -> None:
    header, document = sound()
    with pytest.raises(ArchiveError, match="has 1 of 2 documents"):
        read([packed(header | {"documents": 2}, document)])
    whole = packed(header, document)
    with pytest.raises(ArchiveError, match="damaged after line 2"):
        read([whole[:-8], b"12345678"])
    for content in ([whole + whole], [whole, b"more"]):
        with pytest.raises(ArchiveError, match="follows the end"):
            read(content)


def test_a_bomb_is_stopped_at_the_bound_and_holds_one_piece_in_memory() -> None:
    bomb = gzip.compress(bytes(2**24))
    assert len(bomb) < 2**15
    with pytest.raises(TooLarge):
        read([bomb], max_bytes=2**22)
    header, document = sound()
    padded = packed(header, document | {"tags": [random.Random(1).randbytes(2000).hex()]})
    with pytest.raises(TooLarge):
        read([padded], max_bytes=len(padded) - 1)


def test_a_line_that_is_too_long_is_a_flaw_and_the_next_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_LINE_BYTES", 3000)
    header, document = sound()
    flaw, item = read([packed(header | {"documents": 2}, "x" * 10_000, document)])
    assert isinstance(flaw, Flaw)
    assert "longer than 3,000 bytes" in flaw.why
    assert isinstance(item, Archived)
