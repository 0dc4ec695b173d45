from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.hash_embedder import HashEmbedder, register

from knowledge.catalogue.changes import Cursor
from knowledge.catalogue.library import Library
from knowledge.catalogue.registration import digest
from knowledge.errors import BrokenPage
from knowledge.replication.versions import MAX_UNFINISHED, Assembly, Deleted, Version


def long(word: str) -> str:
    return "\n\n".join(f"{word} {number} " + "more of it " * 300 for number in range(4))


def read(library: Library, limit: int, cursor: Cursor | None = None) -> list[Version | Deleted]:
    assembly, found, more = Assembly(), list[Version | Deleted](), True
    while more:
        page = library.changes(cursor, limit)
        found += assembly.feed(page.items)
        cursor, more = page.cursor, page.more
    assert assembly.is_idle
    return found


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_version_comes_once_and_whole_however_the_pages_are_cut(library: Library, limit: int) -> None:
    register(library, "a", long("alpha"), title="A", version="v1")
    register(library, "b", "beta")
    first, second = read(library, limit)
    assert isinstance(first, Version)
    assert isinstance(second, Version)
    record, blocks = library.show(first.document_id)
    assert first.draft.blocks == blocks
    assert (first.draft.document.title, first.draft.document.version) == (record.title, record.version)
    assert first.stamp.digest == digest(first.draft)
    texts = [passage.embedded for passage in first.draft.passages]
    assert np.allclose(first.vectors, HashEmbedder().embed(texts, "passage"))


def test_a_taken_over_document_is_as_if_it_had_been_registered_here(library: Library, tmp_path: Path) -> None:
    register(library, "a", long("alpha"), title="A", version="v1")
    [version] = read(library, 2)
    assert isinstance(version, Version)
    other = Library(tmp_path / "other.db")
    done = other.register(version.draft, version.vectors, version.stamp)
    assert done.status == "added"
    mine, theirs = library.show(version.document_id), other.show(version.document_id)
    assert mine == theirs
    assert register(other, "a", long("alpha"), title="A", version="v1").status == "unchanged"
    assert other.changes().items == library.changes().items
    other.close()


def test_a_document_that_changes_while_it_is_read_comes_as_it_is_at_the_end(library: Library) -> None:
    register(library, "a", long("alpha"))
    assembly = Assembly()
    page = library.changes(limit=2)
    assert list(assembly.feed(page.items)) == []
    assert not assembly.is_idle
    register(library, "a", long("beta"))
    found, more = list[Version | Deleted](), True
    while more:
        page = library.changes(page.cursor, limit=2)
        found += assembly.feed(page.items)
        more = page.more
    assert assembly.is_idle
    [version] = found
    assert isinstance(version, Version)
    assert all("beta" in entry.block.text for entry in version.entries)


def test_a_document_that_is_deleted_while_it_is_read_comes_only_as_deleted(library: Library) -> None:
    done = register(library, "a", long("alpha"))
    assembly = Assembly()
    page = library.changes(limit=2)
    assert list(assembly.feed(page.items)) == []
    library.delete(done.document_id)
    [deleted] = assembly.feed(library.changes(page.cursor).items)
    assert isinstance(deleted, Deleted)
    assert set(deleted.kids) == set(done.added)
    assert assembly.is_idle


def test_a_log_that_begins_documents_and_finishes_none_is_refused(library: Library) -> None:
    for number in range(MAX_UNFINISHED + 1):
        register(library, f"{number}", f"text {number}")
    never = tuple(
        replace(change, entry=replace(change.entry, n_blocks=2))
        for change in library.changes().items
        if change.entry is not None
    )
    with pytest.raises(BrokenPage, match="not finished"):
        list(Assembly().feed(never))
