from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.hash_embedder import HashEmbedder, register
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.catalogue.changes import Changes, Cursor
from knowledge.catalogue.library import Library
from knowledge.catalogue.schema import REPLICA
from knowledge.catalogue.shelf import Shelf
from knowledge.document import document_id
from knowledge.errors import BrokenPage, EmbeddingError, OutOfStep
from knowledge.replication.replica import Replica
from knowledge.retrieval.match import Gate, Limits
from knowledge.retrieval.search import search

TEXTS = ("alpha beta", "gamma delta", "alpha beta\n\n" + "long " * 2000)


def pull(replica: Replica, library: Library, origin: str, limit: int = 128) -> None:
    """What a follower does: asks from its cursor until nothing more follows."""
    more = True
    while more:
        page = library.changes(replica.cursor(origin), limit)
        replica.apply(page, origin)
        more = page.more


def kids(library: Library) -> set[str]:
    with library.shelf.read() as connection:
        return {row["kid"] for row in connection.execute("SELECT kid FROM blocks")}


def stamps(library: Library) -> dict[str, tuple[int, str]]:
    with library.shelf.read() as connection:
        rows = connection.execute("SELECT id, registered_ms, digest FROM documents")
        return {row["id"]: (row["registered_ms"], row["digest"]) for row in rows}


def tombstones(of: Library | Replica) -> dict[str, int]:
    with of.shelf.read() as connection:
        return {row["document_id"]: row["deleted_ms"] for row in connection.execute("SELECT * FROM tombstones")}


def shown(replica: Replica) -> set[tuple[str, str, str]]:
    """Document, kid, version label of every block that can be found."""
    with replica.shelf.read() as connection:
        rows = connection.execute("SELECT document_id, kid, version FROM blocks")
        return {(row["document_id"], row["kid"], row["version"]) for row in rows}


def assert_is_newest(replica: Replica, libraries: dict[str, Library]) -> None:
    """The copy shows each document's newest version unless a later deletion was heard of, nothing else, and its
    search index and vectors agree."""
    deleted = tombstones(replica)
    for library in libraries.values():
        for name, deleted_ms in tombstones(library).items():
            assert deleted[name] >= deleted_ms
    best: dict[str, tuple[tuple[int, str], Library]] = {}
    for library in libraries.values():
        for name, stamp in stamps(library).items():
            if stamp[0] > deleted.get(name, 0) and (name not in best or stamp > best[name][0]):
                best[name] = stamp, library
    expected = {
        (name, block.kid, block.version) for name, (_, library) in best.items() for block in library.show(name)[1]
    }
    assert shown(replica) == expected
    with replica.shelf.read() as connection:
        passages = connection.execute("SELECT count(*) FROM passages").fetchone()[0]
        searchable = connection.execute("SELECT count(*) FROM passage_fts WHERE rowid > 0").fetchone()[0]
        loose = connection.execute("SELECT count(*) FROM entries WHERE packed IS NULL AND name NOT IN "
                                   "(SELECT entry FROM blocks)").fetchone()[0]  # fmt: skip
        twice = connection.execute("SELECT count(*) FROM entries WHERE packed IS NOT NULL AND name IN "
                                   "(SELECT entry FROM blocks)").fetchone()[0]  # fmt: skip
    assert passages == searchable == len(replica.shelf.vectors)
    assert loose == twice == 0
    for kid, holders in replica.holders({kid for _, kid, _ in expected}).items():
        assert holders
        assert all(kid in kids(libraries[origin]) for origin in holders)


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    return Replica(tmp_path / "replica.db")


operations = st.lists(
    st.one_of(
        st.tuples(
            st.just("register"), st.sampled_from("AB"), st.sampled_from("xyz"), st.sampled_from(TEXTS),
            st.sampled_from(["v1", "v2"]),
        ),
        st.tuples(st.just("delete"), st.sampled_from("AB"), st.sampled_from("xyz")),
        st.tuples(st.just("page"), st.sampled_from("AB"), st.integers(1, 3)),
        st.tuples(st.just("anew"), st.sampled_from("AB")),
    ),
    max_size=16,
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(steps=operations)
def test_a_copy_of_two_origins_shows_the_newest_whatever_happened_and_the_older_one_when_that_is_gone(
    steps: list[tuple[str, ...]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = iter(range(1000))
        libraries = {origin: Library(Path(folder) / f"{next(made)}.db") for origin in "AB"}
        replica = Replica(Path(folder) / "replica.db")
        for what, origin, *how in steps:
            library = libraries[origin]
            if what == "register":
                register(library, how[0], how[1], version=how[2])
            elif what == "delete" and any(record.source == how[0] for record in library.list()):
                library.delete(document_id("default", how[0]))
            elif what == "page":
                replica.apply(library.changes(replica.cursor(origin), int(how[0])), origin)
            elif what == "anew":
                libraries[origin] = Library(Path(folder) / f"{next(made)}.db")
        for origin, library in libraries.items():
            pull(replica, library, origin, limit=2)
        assert_is_newest(replica, libraries)
        replica.forget("A")
        assert_is_newest(replica, {"B": libraries["B"]})


def test_an_entry_that_two_origins_share_is_stored_once(replica: Replica, library: Library, tmp_path: Path) -> None:
    other = Library(tmp_path / "other.db")
    [kid] = register(library, "a", "alpha").added
    register(other, "a", "alpha")
    pull(replica, library, "one")
    pull(replica, other, "two")
    assert replica.holders([kid, "unknown"]) == {kid: frozenset({"one", "two"}), "unknown": frozenset()}
    assert replica.origins() == {"one": 1, "two": 1}
    assert len(replica.shelf.vectors) == 1
    replica.forget("one")
    assert replica.holders([kid])[kid] == {"two"}
    assert replica.blocks([kid])


def test_one_origin_pulled_again_and_again_does_not_make_the_others_blocks_flap(
    replica: Replica, library: Library, tmp_path: Path
) -> None:
    other = Library(tmp_path / "other.db")
    mine, theirs = register(library, "a", "alpha").added, register(other, "b", "beta").added
    for _ in range(3):
        pull(replica, library, "one")
        assert set(replica.blocks(mine)) == set(mine)
        pull(replica, other, "two")
        assert set(replica.blocks([*mine, *theirs])) == {*mine, *theirs}


def test_a_new_version_at_the_origin_reaches_the_copy_with_what_went_came_and_stayed(
    replica: Replica, library: Library
) -> None:
    kept, gone, come = "kept " * 900, "gone " * 900, "come " * 900
    register(library, "a", f"{kept}\n\n{gone}", version="v1")
    pull(replica, library, "one")
    done = register(library, "a", f"{kept}\n\n{come}", version="v2")
    assert (len(done.added), len(done.removed), len(done.unchanged)) == (1, 1, 1)
    pull(replica, library, "one")
    assert_is_newest(replica, {"one": library})
    assert {block.version for block in replica.blocks([*done.unchanged, *done.added]).values()} == {"v2"}


def test_an_origin_that_starts_anew_does_not_blink(replica: Replica, library: Library, tmp_path: Path) -> None:
    kept = [register(library, f"{number}", f"text {number}").added[0] for number in range(4)]
    pull(replica, library, "one")
    anew = Library(tmp_path / "anew.db")
    for number in range(3):
        register(anew, f"{number}", f"text {number}")
    page = anew.changes(replica.cursor("one"), limit=1)
    assert (page.start, page.more) == (0, True)
    replica.apply(page, "one")
    assert set(replica.blocks(kept)) == set(kept)
    pull(replica, anew, "one", limit=1)
    assert set(replica.blocks(kept)) == set(kept[:3])


def test_a_page_that_does_not_follow_is_refused_and_changes_nothing(replica: Replica, library: Library) -> None:
    for number in range(4):
        register(library, f"{number}", f"text {number}")
    first = library.changes(limit=1)
    replica.apply(first, "one")
    skipped = library.changes(Cursor(library.epoch, first.next + 1), limit=1)
    for wrong, origin in ((skipped, "one"), (skipped, "never heard of")):
        with pytest.raises(OutOfStep, match=origin):
            replica.apply(wrong, origin)
    assert replica.cursor("one") == first.cursor
    assert replica.cursor("never heard of") is None


def test_torn_vectors_are_refused_and_change_nothing(replica: Replica, library: Library) -> None:
    register(library, "a", "alpha")
    page = library.changes()
    [change] = page.items
    assert change.entry is not None
    for torn in (change.entry.vectors[:-1], change.entry.vectors * 2, b""):
        entry = type(change.entry)(change.entry.block, change.entry.passages, torn, 0)
        broken = Changes(page.epoch, 0, page.next, (type(change)(1, change.document_id, change.kid, entry),), False)
        with pytest.raises(EmbeddingError):
            replica.apply(broken, "one")
    assert replica.origins() == {}
    assert len(replica.shelf.vectors) == 0


def test_a_deletion_at_the_origin_purges_the_copy(replica: Replica, library: Library, tmp_path: Path) -> None:
    done = register(library, "a", "xylophonequartz")
    pull(replica, library, "one")
    assert b"xylophonequartz" in b"".join(path.read_bytes() for path in tmp_path.glob("replica*"))
    library.delete(done.document_id)
    pull(replica, library, "one")
    assert b"xylophone" not in b"".join(path.read_bytes() for path in tmp_path.glob("replica*"))


def test_the_copy_survives_a_restart_and_goes_on_from_its_cursor(library: Library, tmp_path: Path) -> None:
    register(library, "a", "alpha")
    replica = Replica(tmp_path / "replica.db")
    pull(replica, library, "one")
    replica.close()
    again = Replica(tmp_path / "replica.db")
    assert len(again.shelf.vectors) == 1
    register(library, "b", "beta")
    page = library.changes(again.cursor("one"))
    assert len(page.items) == 1
    again.apply(page, "one")
    assert_is_newest(again, {"one": library})


def versions_of_one_document(tmp_path: Path, *texts: str) -> list[Library]:
    """Libraries that were told the same source one after the other."""
    libraries = []
    for number, text in enumerate(texts):
        library = Library(tmp_path / f"{number}.db")
        register(library, "a", text, version=f"v{number}")
        with library.shelf.write() as writer:  # not within the same millisecond
            writer.connection.execute("UPDATE documents SET registered_ms = registered_ms + ?", (1000 * number,))
        libraries.append(library)
    return libraries


def test_the_newest_version_hides_the_others_whichever_comes_first(tmp_path: Path) -> None:
    old, new = versions_of_one_document(tmp_path, "old words", "new words")
    [old_kid], [new_kid] = kids(old), kids(new)
    for number, order in enumerate(([("one", old), ("two", new)], [("two", new), ("one", old)])):
        replica = Replica(tmp_path / f"replica-{number}.db")
        for origin, library in order:
            pull(replica, library, origin)
        assert replica.blocks([old_kid, new_kid]).keys() == {new_kid}
        assert replica.holders([old_kid, new_kid]) == {old_kid: frozenset(), new_kid: {"two"}}
        found = search(replica.shelf, "old words", HashEmbedder().embed(["old words"], "query"), Gate(), Limits())
        assert old_kid not in {match.kid for match in found.considered}
        assert replica.origins() == {"one": 1, "two": 1}
        replica.forget("two")
        assert replica.blocks([old_kid, new_kid]).keys() == {old_kid}
        assert replica.holders([old_kid])[old_kid] == {"one"}
        assert_is_newest(replica, {"one": old})


def test_two_versions_of_the_same_moment_are_ordered_alike_everywhere(tmp_path: Path) -> None:
    one, two = versions_of_one_document(tmp_path, "one", "two")
    for library in (one, two):
        with library.shelf.write() as writer:
            writer.connection.execute("UPDATE documents SET registered_ms = 1000")
    seen = []
    for number, order in enumerate(([("1", one), ("2", two)], [("2", two), ("1", one)])):
        replica = Replica(tmp_path / f"replica-{number}.db")
        for origin, library in order:
            pull(replica, library, origin)
        seen.append(shown(replica))
    assert seen[0] == seen[1]
    assert len(seen[0]) == 1


def test_a_block_that_both_versions_have_is_held_by_both(tmp_path: Path, replica: Replica) -> None:
    kept = "kept " * 900
    old, new = versions_of_one_document(tmp_path, kept + "\n\n" + "gone " * 900, kept + "\n\n" + "come " * 900)
    pull(replica, old, "one")
    pull(replica, new, "two")
    [both] = kids(old) & kids(new)
    assert replica.holders([both])[both] == {"one", "two"}
    assert replica.blocks([both])[both].version == "v1"


def test_a_deletion_hides_older_versions_elsewhere_and_a_later_registration_lives(
    tmp_path: Path, replica: Replica
) -> None:
    one, two = versions_of_one_document(tmp_path, "xylophonequartz", "xylophonequartz")
    [kid] = kids(one)
    pull(replica, one, "one")
    pull(replica, two, "two")
    two.delete(document_id("default", "a"))
    pull(replica, two, "two")
    assert replica.blocks([kid]) == {}
    assert replica.holders([kid])[kid] == set()
    assert b"xylophone" not in b"".join(path.read_bytes() for path in tmp_path.glob("replica*"))
    pull(replica, one, "one")
    replica.forget("two")
    assert replica.blocks([kid]) == {}
    with one.shelf.write() as writer:  # the clock that the deletion was stamped by is ahead
        writer.connection.execute("UPDATE documents SET registered_ms = registered_ms + 2000")
    one.freshen(document_id("default", "a"))
    pull(replica, one, "one")
    assert replica.blocks([kid]).keys() == {kid}


def test_a_large_document_changes_from_whole_to_whole_page_by_page(replica: Replica, library: Library) -> None:
    def text(word: str) -> str:
        return "\n\n".join(f"{word}{number} " * 600 for number in range(6))

    first = register(library, "a", text("old"))
    assert len(first.added) > 6
    more = True
    while more:
        assert shown(replica) == set()
        page = library.changes(replica.cursor("one"), limit=2)
        replica.apply(page, "one")
        more = page.more
    assert {kid for _, kid, _ in shown(replica)} == set(first.added)
    second = register(library, "a", text("new"))
    more = True
    while more:
        assert {kid for _, kid, _ in shown(replica)} == set(first.added)
        page = library.changes(replica.cursor("one"), limit=2)
        replica.apply(page, "one")
        more = page.more
    assert {kid for _, kid, _ in shown(replica)} == set(second.added)
    assert_is_newest(replica, {"one": library})


def test_pages_that_contradict_themselves_are_refused_and_change_nothing(replica: Replica, library: Library) -> None:
    register(library, "a", "alpha")
    pull(replica, library, "one")
    before = shown(replica)
    register(library, "b", "beta")
    page = library.changes(replica.cursor("one"))
    [change] = page.items
    assert change.entry is not None
    forged = replace(change.entry, block=replace(change.entry.block, text="something else"))
    for wrong in (
        replace(page, next=page.start, more=True, items=()),
        replace(page, next=2**70),
        replace(page, items=(change, change)),
        replace(page, items=(replace(change, seq=2**64),)),
        replace(page, items=(replace(change, document_id="another"),)),
        replace(page, items=(replace(change, entry=replace(change.entry, registered_ms=-1)),)),
        replace(page, items=(replace(change, entry=replace(change.entry, n_blocks=2**64)),)),
        replace(page, items=(replace(change, entry=forged),)),
    ):
        with pytest.raises(BrokenPage):
            replica.apply(wrong, "one")
    assert shown(replica) == before
    pull(replica, library, "one")
    assert len(shown(replica)) == 2


def test_a_copy_from_before_there_were_versions_fills_again(library: Library, tmp_path: Path) -> None:
    register(library, "a", "alpha")
    shelf = Shelf(tmp_path / "replica.db", REPLICA[:1])
    with shelf.write() as writer:
        block = library.blocks(kids(library)).popitem()[1]
        row = writer.put(block, (), HashEmbedder().embed([], "passage"))
        writer.connection.execute("INSERT INTO holders VALUES (?, 'one', 1, 1)", (row,))
        writer.connection.execute("INSERT INTO cursors VALUES ('one', ?, 1, 1)", (library.epoch,))
    shelf.close()
    replica = Replica(tmp_path / "replica.db")
    assert replica.cursor("one") is None
    pull(replica, library, "one")
    assert_is_newest(replica, {"one": library})


@pytest.mark.parametrize(
    "damaged", [lambda whole: b"", lambda whole: whole[:5000], lambda whole: whole.replace(b"alpha", b"ahpla")]
)
def test_a_damaged_copy_is_thrown_away_and_fills_again(
    library: Library, tmp_path: Path, damaged: Callable[[bytes], bytes]
) -> None:
    register(library, "a", "alpha")
    path = tmp_path / "replica.db"
    replica = Replica(path)
    pull(replica, library, "one")
    before = shown(replica)
    replica.close()
    path.write_bytes(damaged(path.read_bytes()))
    replica = Replica(path)
    assert replica.cursor("one") is None
    pull(replica, library, "one")
    assert shown(replica) == before
    replica.close()
