import msgspec
import pytest

from cacheroute.errors import Overloaded
from cacheroute.kdn.builds import table as build_table
from cacheroute.kdn.builds.table import BuildTable, Kept


@pytest.fixture
def table(tmp_path):
    table = BuildTable(tmp_path / "builds.sqlite")
    yield table
    table.close()


def put(table, kept, state, **changes):
    table.put(Kept(msgspec.structs.replace(kept.build, state=state, **changes), kept.tries))


def test_what_was_taken_is_there_in_its_order_after_the_file_was_opened_again(table, tmp_path):
    ids, new = table.add([("b",), ("a", "b")], "chat", "")
    again = BuildTable(tmp_path / "builds.sqlite")
    assert [(kept.build.id, kept.build.kids) for kept in again.queued()] == [(ids[0], ("b",)), (ids[1], ("a", "b"))]
    assert again.queued() == new
    again.close()


def test_what_was_being_built_is_queued_again_and_its_vain_tries_are_remembered(table, tmp_path):
    _, (kept,) = table.add([("a",)], "chat", "")
    table.put(Kept(msgspec.structs.replace(kept.build, state="building"), tries=2))
    assert table.queued() == ()
    again = BuildTable(tmp_path / "builds.sqlite")
    assert [(each.build.state, each.tries) for each in again.queued()] == [("queued", 2)]
    again.close()


def test_what_is_queued_already_keeps_its_id_and_what_differs_or_is_over_does_not(table):
    (first, twice), new = table.add([("a",), ("a",)], "chat", "")
    assert (first, len(new)) == (twice, 1)
    assert table.add([("a",)], "chat", "")[0] == (first,)
    others = [table.add([("a",)], "completions", "")[0], table.add([("a",)], "chat", "f")[0]]
    put(table, new[0], "built")
    others.append(table.add([("a",)], "chat", "")[0])
    assert len({(first,), *others}) == 4


def test_a_full_queue_takes_nothing_of_what_would_be_too_much(table, monkeypatch):
    monkeypatch.setattr(build_table, "MAX_QUEUED", 3)
    table.add([("a",), ("b",)], "chat", "")
    with pytest.raises(Overloaded, match="takes 3 builds; 2 are in it and 2 more"):
        table.add([("c",), ("d",)], "chat", "")
    assert [kept.build.kids for kept in table.queued()] == [("a",), ("b",)]
    table.add([("a",), ("c",)], "chat", "")


def test_of_those_that_are_over_the_last_to_end_are_kept(table, monkeypatch):
    monkeypatch.setattr(build_table, "KEEP_OVER", 2)
    _, new = table.add([(kid,) for kid in "abcd"], "chat", "")
    for kept in (new[3], new[1], new[0]):
        put(table, kept, "built")
    assert [(build.kids[0], build.state) for build in table.page(None, 0, 10)] == [
        ("a", "built"),
        ("b", "built"),
        ("c", "queued"),
    ]


def test_pages_follow_each_other_by_id_and_can_be_of_one_state(table):
    ids, new = table.add([(kid,) for kid in "abcd"], "chat", "")
    put(table, new[1], "failed", why="no")
    assert [build.id for build in table.page(None, ids[0], 2)] == list(ids[1:3])
    assert [build.id for build in table.page("queued", 0, 2)] == [ids[0], ids[2]]
    (failed,) = table.page("failed", 0, 2)
    assert (failed.id, failed.why) == (ids[1], "no")
    assert (table.get(ids[1]), table.get(99)) == (failed, None)
