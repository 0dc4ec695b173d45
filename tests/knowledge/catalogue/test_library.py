from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.hash_embedder import HashEmbedder, register

from knowledge.catalogue.changes import Changes, Cursor
from knowledge.catalogue.library import Library
from knowledge.cut import SHORT_TOKENS, Budget, draft
from knowledge.embedding import DIMENSIONS
from knowledge.errors import DamagedCatalogue, EmbeddingError, UnknownDocument
from knowledge.parse import compose
from knowledge.text import kid_of

VECTOR = HashEmbedder().embed(["alpha"], "query")


def test_a_document_is_there_with_all_its_parts_after_reopening(tmp_path: Path) -> None:
    library = Library(tmp_path / "a.db")
    done = register(library, "a.md", "alpha beta", title="A", version="v1")
    library.close()
    again = Library(tmp_path / "a.db")
    record, [block] = again.show(done.document_id)
    assert (record.source, record.title, record.version, record.revision, record.blocks) == ("a.md", "A", "v1", 1, 1)
    assert record.tokens == block.tokens > 0
    assert (block.kid, block.text) == (kid_of("alpha beta"), "alpha beta")
    assert len(again.shelf.vectors) == 1
    assert again.epoch == library.epoch
    again.close()


def test_the_same_registration_again_changes_nothing(library: Library) -> None:
    first = register(library, "a.md", "alpha\r\nbeta")
    before = library.stats()
    again = register(library, "a.md", "alpha\nbeta\n")
    assert (first.status, again.status) == ("added", "unchanged")
    assert again.unchanged == first.added
    assert library.stats() == before
    cut = draft(compose("alpha\nbeta", source="a.md").document)
    assert library.is_current(cut)
    assert not library.is_current(draft(compose("alpha\nbeta!", source="a.md").document))


def test_a_new_version_replaces_the_old_one_and_says_which_kids_changed(library: Library) -> None:
    def register(text: str) -> object:
        cut = draft(compose(text, source="a.md", title="A").document, Budget(2, lambda text: len(text.split())))
        return library.register(cut, HashEmbedder().embed([p.embedded for p in cut.passages], "passage"))

    register("a b\n\nc d\n\ne f")
    replaced = register("a b\n\ne f\n\ng h")
    kid = {text: kid_of(text) for text in ("a b", "c d", "e f", "g h")}
    assert replaced == type(replaced)(
        document_id=library.list()[0].document_id,
        status="replaced",
        added=(kid["g h"],),
        removed=(kid["c d"],),
        unchanged=(kid["a b"], kid["e f"]),
        orphaned=(kid["c d"],),
    )
    record, blocks = library.show(replaced.document_id)
    assert [block.text for block in blocks] == ["a b", "e f", "g h"]
    assert record.revision == 2
    assert library.stats().passages == len(library.shelf.vectors) == 3


def test_a_kid_is_orphaned_only_when_its_last_document_goes(library: Library) -> None:
    one, two = register(library, "1", "same text"), register(library, "2", "same text")
    assert one.added == two.added
    assert library.delete(one.document_id).orphaned == ()
    assert library.blocks(one.added).keys() == set(one.added)
    assert library.delete(two.document_id).orphaned == two.added
    assert library.blocks(one.added) == {}


def test_the_same_source_in_two_collections_is_two_documents(library: Library) -> None:
    register(library, "a.md", "alpha", collection="x")
    register(library, "a.md", "alpha", collection="y")
    assert [(record.collection, record.revision) for record in library.list()] == [("x", 1), ("y", 1)]


def test_every_read_keeps_to_the_visible_collections(library: Library) -> None:
    mine = register(library, "mine", "alpha", collection="mine")
    theirs = register(library, "theirs", "beta", collection="theirs")
    seen = {"mine"}
    assert [record.source for record in library.list(seen)] == ["mine"]
    assert library.list(set()) == ()
    assert library.blocks([*mine.added, *theirs.added], seen).keys() == set(mine.added)
    assert library.show(mine.document_id, seen)
    for hidden in (library.show, library.delete):
        with pytest.raises(UnknownDocument):
            hidden(theirs.document_id, seen)
    assert len(library.list()) == 2


def test_a_kid_in_two_collections_is_seen_through_either(library: Library) -> None:
    [kid] = register(library, "a", "same", collection="x").added
    register(library, "b", "same", collection="y")
    assert library.blocks([kid], {"x"})[kid].collection == "x"
    assert library.blocks([kid], {"y"})[kid].collection == "y"


def test_deleting_leaves_no_row_and_no_word_in_the_file(library: Library, tmp_path: Path) -> None:
    register(library, "kept", "a text that stays")
    secret = register(library, "secret-source", "The passphrase is xylophonequartz. " * 40, title="Vault of zebrawood")
    before = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"xylophonequartz" in before
    assert b"zebrawood" in before
    library.delete(secret.document_id)
    with library.shelf.read() as connection:
        for table in ("blocks", "passages"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 1
        found = connection.execute("SELECT count(*) FROM passage_fts WHERE passage_fts MATCH 'xylophonequartz'")
        assert found.fetchone()[0] == 0
    assert len(library.shelf.vectors) == 1
    after = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for word in (b"xylophonequartz", b"quartz", b"zebrawood"):
        assert word not in after
    assert b"a text that stays" in after


def test_vectors_that_do_not_fit_the_passages_are_refused_and_nothing_is_kept(library: Library) -> None:
    cut = draft(compose("one " * SHORT_TOKENS + "\n\ntwo", source="a").document)
    for wrong in (np.eye(1, DIMENSIONS, dtype=np.float32), np.zeros((2, DIMENSIONS), np.float32)):
        with pytest.raises(EmbeddingError):
            library.register(cut, wrong)
    assert library.stats().documents == library.stats().seq == 0


def test_the_list_comes_in_pages(library: Library) -> None:
    for number in range(5):
        register(library, f"{number}", f"text {number}")
    places = (None, ("default", "1"), ("default", "3"), ("default", "4"))
    pages = [library.list(after=place, limit=2) for place in places]
    assert [[record.source for record in page] for page in pages] == [["0", "1"], ["2", "3"], ["4"], []]


def test_the_log_names_each_block_once_in_its_latest_state(library: Library) -> None:
    one, two = register(library, "1", "alpha"), register(library, "2", "beta")
    register(library, "1", "alpha", version="v2")
    library.delete(two.document_id)
    page = library.changes()
    assert [(change.kid, change.entry is None) for change in page.items] == [
        (one.added[0], False),
        (two.added[0], True),
    ]
    assert [change.seq for change in page.items] == sorted(change.seq for change in page.items)
    entry = page.items[0].entry
    assert entry is not None
    assert (entry.block.version, entry.passages[0].text) == ("v2", "alpha")
    assert len(entry.vectors) == 4 * DIMENSIONS * len(entry.passages)
    assert library.changes(page.cursor) == Changes(library.epoch, page.next, page.next, (), more=False)


def test_a_cursor_that_is_of_no_use_starts_anew(library: Library) -> None:
    register(library, "1", "alpha")
    head = library.stats().seq
    for useless in (None, Cursor("another epoch", 1), Cursor(library.epoch, head + 1)):
        page = library.changes(useless)
        assert (page.start, len(page.items)) == (0, 1)


def test_a_page_says_whether_more_follows(library: Library) -> None:
    for number in range(3):
        register(library, f"{number}", f"text {number}")
    first = library.changes(limit=2)
    second = library.changes(first.cursor, limit=2)
    assert (len(first.items), first.more, len(second.items), second.more) == (2, True, 1, False)


def test_a_text_that_rotted_on_disk_is_noticed_on_opening(tmp_path: Path) -> None:
    library = Library(tmp_path / "a.db")
    [kid] = register(library, "a.md", "what was registered").added
    library.close()
    path = tmp_path / "a.db"
    path.write_bytes(path.read_bytes().replace(b"what was registered", b"what was misteredge"))
    with pytest.raises(DamagedCatalogue, match=kid):
        Library(path)
