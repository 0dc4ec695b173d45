"""Events on disk: in their order, and readable after a crash in the middle of a line."""

from pathlib import Path

from stack import Event, State
from stack.events import EventStream
from stack.journal import Journal, JournalWriter


def test_a_crash_in_the_middle_of_a_line_costs_that_line_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events")
    events = [Event(1, 0.5, "kv", State.READY), Event(2, 1.0, "kdn", State.FAILED, "no\nmodel")]
    journal.append(events)
    with (tmp_path / "events").open("ab") as file:
        file.write(b'{"seq": 3, "at_')
    assert list(journal.read()) == events
    assert list(journal.read(after=1)) == events[1:]
    assert journal.latest() == {"kv": events[0], "kdn": events[1]}


def test_no_file_is_no_events(tmp_path: Path) -> None:
    assert list(Journal(tmp_path / "events").read()) == []


async def test_what_was_emitted_is_on_disk_when_the_writer_is_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events")
    heard: list[Event] = []
    async with JournalWriter(journal) as writer:
        stream = EventStream(0.0, 7, writer, heard.append)
        for i in range(50):
            stream.emit("kv", State.STARTING, f"step {i}")
    assert list(journal.read()) == heard
    assert [event.seq for event in heard] == list(range(8, 58))
    assert [event.at_ms for event in heard] == sorted(event.at_ms for event in heard)
