import sqlite3

import pytest

from cacheroute.kdn.purge.journal import Entry, PurgeJournal
from knowledge.errors import DamagedCatalogue

STORE, ENGINE = "kv store kv-1", "engine instance-1"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "purges.sqlite"


@pytest.fixture
def journal(path):
    journal = PurgeJournal(path)
    yield journal
    journal.close()


def ask(journal: PurgeJournal, *places: str) -> None:
    journal.ask(journal.plan(), places)


def stages(journal: PurgeJournal) -> dict[str, str]:
    return {entry.place: entry.stage for entry in journal.entries()}


def test_what_is_asked_for_outlives_the_process(path, journal):
    ask(journal, STORE, ENGINE)
    journal.failed(ENGINE, "it is away")
    again = PurgeJournal(path)
    assert again.entries() == (Entry(ENGINE, 1, "due", 1, "it is away"), Entry(STORE, 1, "due", 0, ""))
    ask(again, STORE)
    assert again.entries()[1].asked == 2
    again.close()


def test_a_place_is_purged_twice_before_it_is_done(journal):
    ask(journal, STORE)
    assert journal.purged(STORE, 1)
    (entry,) = journal.entries()
    assert (entry.stage, entry.attempts) == ("again", 0)
    journal.done(entry)
    assert journal.entries() == ()


def test_what_is_asked_anew_meanwhile_is_not_done(journal):
    ask(journal, STORE)
    assert journal.purged(STORE, 1)
    (entry,) = journal.entries()
    ask(journal, STORE)
    journal.done(entry)
    assert stages(journal) == {STORE: "due"}


def test_what_is_asked_anew_while_it_is_purged_is_still_due(journal):
    ask(journal, STORE)
    (before,) = journal.entries()
    ask(journal, STORE)
    assert not journal.purged(STORE, before.asked)
    assert stages(journal) == {STORE: "due"}
    assert journal.purged(STORE, journal.entries()[0].asked)
    assert stages(journal) == {STORE: "again"}


def test_a_plan_of_which_nothing_came_makes_nothing_due(path, journal):
    plans = [journal.plan(), journal.plan()]
    for plan in plans:
        journal.withdraw(plan)
    again = PurgeJournal(path)
    again.adopt([STORE])
    assert stages(again) == {}
    again.close()


def test_a_plan_that_a_crash_left_is_adopted(path, journal):
    journal.withdraw(journal.plan())
    journal.plan()
    again = PurgeJournal(path)
    again.adopt([STORE, ENGINE])
    assert stages(again) == {STORE: "due", ENGINE: "due"}
    assert again.purged(STORE, again.entries()[1].asked)
    again.adopt([STORE])
    assert stages(again) == {STORE: "again", ENGINE: "due"}
    again.close()


def test_engines_and_model_strings_are_remembered(path, journal):
    journal.meet(["instance-1"], ["/models/a", "instance-1"])
    journal.meet(["instance-1", "instance-2"], ["/models/a"])
    again = PurgeJournal(path)
    assert again.met() == ({"instance-1", "instance-2"}, {"/models/a", "instance-1"})
    again.close()


def test_an_engine_that_was_not_seen_for_a_week_is_waited_for_no_more(path, journal):
    journal.meet(["instance-1", "instance-2"], [])
    ask(journal, ENGINE, "engine instance-2", STORE)
    journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE engines SET seen_on = '2001-01-01' WHERE name = 'instance-1'")
    connection.close()
    again = PurgeJournal(path)
    assert again.met()[0] == {"instance-2"}
    assert set(stages(again)) == {"engine instance-2", STORE}
    again.close()


def test_a_damaged_journal_is_not_begun_anew_but_says_what_to_do(path):
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(DamagedCatalogue, match=r"purges\.sqlite is damaged.*empty the kv stores, restart the engines"):
        PurgeJournal(path)
