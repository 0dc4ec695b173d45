import io

import pytest
from fakes.until import until
from rich.console import Console

from cacheroute.cli import intake_display
from cacheroute.cli.intake_display import Bars, Display, progress_line, summary
from cacheroute.cli.output import Output
from cacheroute.cli.tally import Tally
from cacheroute.wire.documents import AddedDocument, NearDuplicate


def document(status: str = "added", **fields: object) -> AddedDocument:
    return AddedDocument(source="s", title="Herons", status=status, kids=("k" * 64,), **fields)


def like(similarity: float, collection: str = "default") -> NearDuplicate:
    return NearDuplicate(
        kid="a" * 64, other_kid="b" * 64, other_source="old.md", other_collection=collection, similarity=similarity
    )


def drawn(tally: Tally, width: int = 80) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(Bars(tally))
    return capture.get()


def test_a_document_that_is_in_is_a_line_with_what_has_changed(capfd: pytest.CaptureFixture[str]) -> None:
    display = Display(Output(as_json=False), Tally(1))
    display.added(document("replaced", added=("x", "y"), removed=("z",), near_duplicates=(like(0.87, "team"),)))
    said = capfd.readouterr()
    assert said.out == "replaced  Herons (1 block, +2 -1 blocks)\n"
    assert said.err == "  block aaaaaaaaaaaa is 87% like bbbbbbbbbbbb of old.md (collection team)\n"


def test_no_more_than_a_few_near_duplicates_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    Display(Output(as_json=False), Tally(1)).added(document(near_duplicates=(like(0.8),) * 9))
    assert capfd.readouterr().err.splitlines()[-1].strip() == "and 6 more near duplicates"


def test_of_many_files_those_that_stay_as_they_are_get_no_line(capfd: pytest.CaptureFixture[str]) -> None:
    display = Display(Output(as_json=False), Tally(1000))
    display.added(document("unchanged"))
    display.added(document("added"))
    assert capfd.readouterr().out.splitlines() == ["added     Herons (1 block)"]


def test_no_escape_sequence_of_a_title_a_note_or_a_failure_reaches_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    tally = Tally(1)
    display = Display(Output(as_json=False), tally)
    evil = "\x1b[2J\x1b]0;owned\x07\n\u202eevil"
    display.added(AddedDocument(source=evil, title=evil, status="added", kids=(), notes=(evil,)))
    display.failed([evil])
    tally.waiting = evil
    said = capfd.readouterr()
    for text in (said.out, said.err, drawn(tally), progress_line(tally)):
        assert not set(text) & set("\x1b\x07\u202e")
    assert said.out.count("\n") == 1


def test_both_stages_are_shown_with_counts_and_the_time_left() -> None:
    tally = Tally(10)
    tally.parsed(1, 3.0)
    tally.registered(document())
    tally.in_flight = 2
    tally.failed(["x"])
    tally.waiting = "kdn-1 does not answer"
    text = drawn(tally)
    for piece in ("1 of 10 files", "1 of 1, 2 on the way", "1 added", "1 failure", "left", "waiting: kdn-1"):
        assert piece in text
    assert all(len(line) <= 60 for line in drawn(tally, 60).splitlines())
    assert progress_line(tally).startswith("read 1 of 10 files, registered 1, 1 added, 1 failure, ")


def test_the_sums_say_where_the_time_went() -> None:
    tally = Tally(1)
    tally.parsed(1, 3.0)
    tally.registered(document(parts_ms={"cut": 1500.0, "embed": 20_000.0}))
    counts, times = summary(tally)
    assert "1 added; 1 block." in counts
    assert "cut 1.5 s, embed 20.0 s" in times


async def test_on_a_terminal_the_bars_live_below_what_is_said_and_leave_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(
        intake_display, "console", lambda stderr: Console(file=terminal, force_terminal=True, width=80, markup=False)
    )
    tally = Tally(2)
    async with Display(Output(as_json=False), tally).shown():
        tally.parsed(1, 1.0)
    assert "1 of 2 files" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K")


async def test_elsewhere_a_line_is_said_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(intake_display, "LINE_EVERY_S", 0.001)
    said = ""

    def anything_said() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return bool(said)

    async with Display(Output(as_json=False), Tally(2)).shown():
        await until(anything_said)
    assert said.startswith("read 0 of 2 files, registered 0, 0.0 documents/s")


async def test_with_json_nothing_is_shown(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_display, "LINE_EVERY_S", 0.0)
    display = Display(Output(as_json=True), Tally(1))
    async with display.shown():
        display.added(document())
        display.failed(["x"])
    said = capfd.readouterr()
    assert said.out + said.err == ""
