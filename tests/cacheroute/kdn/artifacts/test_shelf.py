from dataclasses import replace

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cacheroute.kdn.artifacts.catalogue import Stored
from cacheroute.kdn.artifacts.shelf import Shelf
from cacheroute.wire.artifacts import Artifact


def stored(name, kids=("k",), *, turn=1, nbytes=10, fingerprint="f1"):
    artifact = Artifact(
        id=name, kids=tuple(kids), rendering="chat", fingerprint=fingerprint, n_tokens=64, keys=("x",), nbytes=nbytes
    )
    return Stored(artifact, b"c" * 16, turn, name)


def names(artifacts):
    return [artifact.id for artifact in artifacts]


def test_a_page_begins_after_an_id_whatever_came_or_went():
    shelf = Shelf(stored(name, turn=turn) for turn, name in enumerate("dbeca"))
    assert names(shelf.page("", 2)) == ["a", "b"]
    shelf.remove("b")
    assert names(shelf.page("b", 2)) == ["c", "d"]
    assert names(shelf.page("d", 9)) == ["e"]
    assert names(shelf.page("e", 9)) == []


def test_a_page_is_of_one_kid_or_fingerprint():
    shelf = Shelf(
        [stored("a", "xy"), stored("b", "y", fingerprint="f2"), stored("c", "z"), stored("d", "y"), stored("e", "zy")]
    )
    assert names(shelf.page("", 9, kid="y")) == ["a", "b", "d", "e"]
    assert names(shelf.page("a", 1, kid="y", fingerprint="f1")) == ["d"]
    assert names(shelf.page("", 9, fingerprint="f2")) == ["b"]
    assert names(shelf.page("", 9, kid="unknown")) == []


def test_pinning_does_not_count_as_use():
    shelf = Shelf([stored("a", turn=1), stored("b", turn=2)])
    shelf.put(replace(stored("a", turn=1), artifact=msgspec.structs.replace(stored("a").artifact, pinned=True)))
    assert [each.artifact.id for each in shelf.least_recently_used()] == ["a", "b"]
    shelf.put(stored("a", turn=3))
    assert [each.artifact.id for each in shelf.least_recently_used()] == ["b", "a"]


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from("abcdef"), st.frozensets(st.sampled_from("wxyz"), min_size=1)),
        max_size=40,
    )
)
def test_its_indexes_say_what_going_through_everything_would(steps):
    shelf, held, kids_of = Shelf(), {}, {}
    for turn, (putting, name, kids) in enumerate(steps):
        if putting:
            kids_of.setdefault(name, sorted(kids))  # an id stands for its kids and its fingerprint
            held.pop(name, None)
            held[name] = stored(name, kids_of[name], turn=turn, nbytes=turn, fingerprint="f1" if name < "d" else "f2")
            shelf.put(held[name])
        elif name in held:
            del held[name]
            shelf.remove(name)
    assert len(shelf) == len(held)
    assert shelf.nbytes == sum(each.artifact.nbytes for each in held.values())
    assert list(shelf.least_recently_used()) == list(held.values())
    assert names(shelf.page("", 99)) == sorted(held)
    for fingerprint in ("f1", "f2", "f3"):
        wanted = {name for name, each in held.items() if each.artifact.fingerprint == fingerprint}
        assert names(shelf.page("", 99, fingerprint=fingerprint)) == sorted(wanted)
    for kid in "wxyz":
        wanted = {name for name, each in held.items() if kid in each.artifact.kids}
        assert set(shelf.by_kid().get(kid, ())) == wanted
        assert set(names(shelf.holding([kid]))) == wanted
        assert names(shelf.page("", 99, kid=kid)) == sorted(wanted)
