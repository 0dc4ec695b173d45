from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes.hash_embedder import HashEmbedder, register

from knowledge.catalogue import history
from knowledge.catalogue.changes import Stamp
from knowledge.catalogue.library import Library
from knowledge.cut import draft
from knowledge.document import Draft, document_id
from knowledge.embedding import Vectors
from knowledge.parse import compose

NAME = document_id("default", "a")
SetClock = Callable[[int], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return lambda now_ms: monkeypatch.setattr(history, "now_ms", lambda: now_ms)


def cut(text: str, version: str = "") -> tuple[Draft, Vectors]:
    made = draft(compose(text, source="a", version=version).document)
    return made, HashEmbedder().embed([passage.embedded for passage in made.passages], "passage")


def stamp(library: Library) -> Stamp | None:
    with library.shelf.read() as connection:
        return history.stamp(connection, NAME)


def deletions(library: Library) -> dict[str, int]:
    return {change.document_id: change.deleted_ms for change in library.changes().items if change.deleted_ms}


def test_a_clock_that_goes_back_loses_no_version_and_no_deletion(library: Library, set_clock: SetClock) -> None:
    set_clock(5000)
    register(library, "a", "first")
    set_clock(1000)
    register(library, "a", "second")
    assert (stamp(library) or Stamp(0, "")).registered_ms == 5001
    library.freshen(NAME)
    assert (stamp(library) or Stamp(0, "")).registered_ms == 5002
    set_clock(history.TOMBSTONE_DAYS)
    library.delete(NAME)
    assert deletions(library) == {NAME: 5002}
    register(library, "a", "third")
    assert (stamp(library) or Stamp(0, "")).registered_ms == 5003
    assert deletions(library) == {}


def test_a_deletion_is_told_with_its_time_and_no_text(library: Library, set_clock: SetClock) -> None:
    set_clock(1000)
    done = register(library, "a", "text")
    set_clock(2000)
    library.delete(NAME)
    [change] = library.changes().items
    assert (change.document_id, change.kid, change.entry, change.deleted_ms) == (NAME, done.added[0], None, 2000)


def test_a_kid_that_only_left_its_document_is_no_deletion(library: Library) -> None:
    register(library, "a", "first")
    register(library, "a", "second")
    assert [(change.entry is None, change.deleted_ms) for change in library.changes().items] == [(True, 0), (False, 0)]


def test_tombstones_are_forgotten_when_they_are_old_or_too_many(
    library: Library, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    day_ms = 24 * 3600 * 1000
    for number in range(4):
        set_clock(number * day_ms + 10)
        register(library, f"{number}", f"text {number}")
        library.delete(document_id("default", f"{number}"))
    assert len(deletions(library)) == 4
    set_clock((history.TOMBSTONE_DAYS + 1) * day_ms)
    register(library, "late", "late")
    library.delete(document_id("default", "late"))
    told = deletions(library)
    assert told[document_id("default", "0")] == history.FORGOTTEN_MS
    assert told[document_id("default", "3")] == 3 * day_ms + 10
    monkeypatch.setattr(history, "MAX_TOMBSTONES", 2)
    register(library, "last", "last")
    library.delete(document_id("default", "last"))
    kept = {name for name, at_ms in deletions(library).items() if at_ms > history.FORGOTTEN_MS}
    assert kept == {document_id("default", "late"), document_id("default", "last")}


@pytest.mark.parametrize(("told_ms", "status", "stands_ms"), [(1999, "unchanged", 2000), (2001, "replaced", 2001)])
def test_a_version_from_elsewhere_is_taken_only_if_it_is_newer(
    library: Library, set_clock: SetClock, told_ms: int, status: str, stands_ms: int
) -> None:
    set_clock(2000)
    register(library, "a", "mine")
    theirs = Stamp(told_ms, "their digest")
    assert library.is_news(NAME, theirs) == (status == "replaced")
    done = library.register(*cut("theirs"), theirs)
    assert done.status == status
    assert (stamp(library) or Stamp(0, "")).registered_ms == stands_ms
    assert not library.is_news(NAME, theirs)


def test_the_same_version_registered_later_elsewhere_only_moves_its_time(library: Library, set_clock: SetClock) -> None:
    set_clock(2000)
    register(library, "a", "ours")
    before = library.stats()
    mine = stamp(library)
    assert mine is not None
    done = library.register(*cut("ours"), Stamp(3000, mine.digest))
    assert (done.status, stamp(library)) == ("unchanged", Stamp(3000, mine.digest))
    assert library.stats() == before


def test_a_deletion_from_elsewhere_takes_what_is_older_and_is_passed_on(library: Library, set_clock: SetClock) -> None:
    set_clock(2000)
    done = register(library, "a", "text")
    assert library.delete_told(NAME, done.added, 1999) is None
    assert library.blocks(done.added)
    deletion = library.delete_told(NAME, done.added, 2000)
    assert deletion is not None
    assert deletion.orphaned == done.added
    assert library.blocks(done.added) == {}
    assert library.delete_told(NAME, done.added, 2000) is None
    assert deletions(library) == {NAME: 2000}
    assert not library.is_news(NAME, Stamp(2000, "z"))
    assert library.is_news(NAME, Stamp(2001, "a"))


def test_a_deletion_of_what_was_never_here_is_passed_on(library: Library, set_clock: SetClock) -> None:
    set_clock(2000)
    kid = "0" * 64
    assert library.delete_told(NAME, [kid], 1500) is None
    assert [(change.kid, change.deleted_ms) for change in library.changes().items] == [(kid, 1500)]


def test_a_page_is_no_larger_than_allowed_but_for_a_single_block(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        register(library, f"{number}", f"text {number} " * 50)
    monkeypatch.setattr(history, "MAX_PAGE_BYTES", 1)
    pages = [page := library.changes()]
    while page.more:
        pages.append(page := library.changes(page.cursor))
    assert [len(page.items) for page in pages] == [1, 1, 1]
