import json

import pytest

from cacheroute.cli.output import Output


def test_for_people_there_is_no_json(capfd: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False)
    out.result({"a": 1})
    out.say("hello")
    out.note("working")
    said = capfd.readouterr()
    assert (said.out, said.err) == ("hello\n", "working\n")


def test_with_json_stdout_is_one_document_and_stderr_is_empty(capfd: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=True)
    out.say("hello")
    out.note("working")
    out.table(("A",), [("x",)])
    out.result({"a": ("ü", 1)})
    said = capfd.readouterr()
    assert json.loads(said.out) == {"a": ["ü", 1]}
    assert said.err == ""


def test_every_door_is_clean(capfd: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False)
    evil = "\x1b]0;x\x07\u202e[bold]"
    out.say(evil)
    out.note(evil)
    out.table(("A", "B"), [(evil, evil)])
    out.error([evil], kind="k", code="c")
    said = capfd.readouterr()
    assert not any(bad in said.out + said.err for bad in ("\x1b", "\x07", "\u202e"))
    assert said.out.count("[bold]") == 3


def test_an_answer_that_streams_keeps_its_line_breaks(capfd: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False)
    for piece in ("one\n", "\ttwo", " three"):
        out.say(piece, end="")
    assert capfd.readouterr().out == "one\n\ttwo three"


def test_errors_are_a_line_each_or_one_object(capfd: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).error(["first", "second"], kind="k", code="c")
    assert capfd.readouterr().err == "cacheroute: first\ncacheroute: second\n"
    Output(as_json=True).error(["first", "second"], kind="k", code="c")
    assert json.loads(capfd.readouterr().out) == {"error": {"message": "first\nsecond", "type": "k", "code": "c"}}
