import sqlite3

import pytest

from cacheroute.kdn.purge_journal import Entry, PurgeJournal

STORE, ENGINE = "kv store kv-1", "engine instance-1"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "purges.sqlite"


@pytest.fixture
def journal(path):
    journal = PurgeJournal(path)
    yield journal
    journal.close()


def stages(journal: PurgeJournal) -> dict[str, str]:
    return {entry.place: entry.stage for entry in journal.entries()}


def test_what_is_asked_for_outlives_the_process(path, journal):
    journal.ask([STORE, ENGINE])
    journal.failed(ENGINE, "it is away")
    again = PurgeJournal(path)
    assert again.entries() == (Entry(ENGINE, 1, "due", 1, "it is away"), Entry(STORE, 1, "due", 0, ""))
    assert again.ask([STORE]) == 2
    again.close()


def test_a_place_is_purged_twice_before_it_is_done(journal):
    journal.ask([STORE])
    journal.purged(STORE)
    (entry,) = journal.entries()
    assert (entry.stage, entry.attempts) == ("again", 0)
    journal.done(entry)
    assert journal.entries() == ()


def test_what_is_asked_anew_meanwhile_is_not_done(journal):
    journal.ask([STORE])
    journal.purged(STORE)
    (entry,) = journal.entries()
    journal.ask([STORE])
    journal.done(entry)
    assert stages(journal) == {STORE: "due"}


def test_a_request_withdrawn_takes_back_no_other(journal):
    journal.ask([STORE])
    journal.withdraw(journal.ask([STORE, ENGINE]))
    assert stages(journal) == {STORE: "due"}
    journal.withdraw(journal.ask([ENGINE]))
    assert stages(journal) == {STORE: "due"}


def test_a_deletion_that_was_withdrawn_leaves_a_failure_as_it_was(journal):
    journal.ask([STORE])
    journal.failed(STORE, "it is away")
    journal.withdraw(journal.ask([STORE]))
    (entry,) = journal.entries()
    assert (entry.attempts, entry.why) == (1, "it is away")


def test_engines_and_model_strings_are_remembered(path, journal):
    journal.meet(["instance-1"], ["/models/a", "instance-1"])
    journal.meet(["instance-1", "instance-2"], ["/models/a"])
    again = PurgeJournal(path)
    assert again.met() == ({"instance-1", "instance-2"}, {"/models/a", "instance-1"})
    again.close()


def test_an_engine_that_was_not_seen_for_a_week_is_waited_for_no_more(path, journal):
    journal.meet(["instance-1", "instance-2"], [])
    journal.ask([ENGINE, "engine instance-2", STORE])
    journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE engines SET seen_on = '2001-01-01' WHERE name = 'instance-1'")
    connection.close()
    again = PurgeJournal(path)
    assert again.met()[0] == {"instance-2"}
    assert set(stages(again)) == {"engine instance-2", STORE}
    again.close()
