from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from fakes.hash_embedder import register
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.changes import Changes, Cursor
from knowledge.document import document_id
from knowledge.errors import EmbeddingError, OutOfStep
from knowledge.library import Library
from knowledge.replica import Replica

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


def assert_is_union(replica: Replica, libraries: dict[str, Library]) -> None:
    """The copy holds what the origins hold, nothing else, and its search index and vectors agree."""
    held = {origin: kids(library) for origin, library in libraries.items()}
    union = set().union(*held.values())
    with replica.shelf.read() as connection:
        stored = {row["kid"] for row in connection.execute("SELECT kid FROM blocks")}
        passages = connection.execute("SELECT count(*) FROM passages").fetchone()[0]
        searchable = connection.execute("SELECT count(*) FROM passage_fts WHERE rowid > 0").fetchone()[0]
    assert stored == union
    assert replica.holders(union) == {kid: frozenset(origin for origin in held if kid in held[origin]) for kid in union}
    assert passages == searchable == len(replica.shelf.vectors)
    for library in libraries.values():
        for kid, block in library.blocks(kids(library)).items():
            assert replica.blocks([kid])[kid].text == block.text


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
    max_size=14,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(steps=operations)
def test_a_copy_of_two_origins_converges_whatever_happened_and_loses_only_what_one_alone_held(
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
        assert_is_union(replica, libraries)
        replica.forget("A")
        assert_is_union(replica, {"B": libraries["B"]})


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
    assert_is_union(replica, {"one": library})
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
    assert_is_union(again, {"one": library})
