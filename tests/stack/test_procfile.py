"""Procfiles: every line is an entry, a comment, or a problem with its number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack import ProcfileError, parse

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True)
COMMANDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="'\"\\"), min_size=1)


def test_entries_keep_their_order_and_line_numbers() -> None:
    entries = parse("# what runs\n\nweb: serve --port 1\r\n  worker:work\n")
    assert [(entry.name, entry.command, entry.line) for entry in entries] == [
        ("web", "serve --port 1", 3),
        ("worker", "work", 4),
    ]


def test_every_bad_line_is_named_at_once() -> None:
    text = "web: serve\nno colon here\nweb: again\nempty:\nba d: x\nquote: echo 'open\nbell: a\x07b\nok: fine"
    with pytest.raises(ProcfileError) as caught:
        parse(text)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "line 2",
        "line 3",
        "line 4",
        "line 5",
        "line 6",
        "line 7",
    ]
    assert "already on line 1" in caught.value.problems[1]
    assert "no closing quotation" in caught.value.problems[4]


def test_a_plain_command_runs_without_a_shell() -> None:
    (entry,) = parse("web: serve 'two words' --port=1")
    assert entry.argv == ("serve", "two words", "--port=1")


@pytest.mark.parametrize("command", ["serve --port $PORT", "A=1 serve", "cd x && serve", "serve > log"])
def test_a_command_in_shell_language_gets_a_shell(command: str) -> None:
    (entry,) = parse(f"web: {command}")
    assert entry.argv == ("/bin/sh", "-c", command)


@given(st.dictionaries(NAMES, COMMANDS))
def test_what_is_written_is_what_is_read(commands: dict[str, str]) -> None:
    entries = parse("\n".join(f"{name}: {command}" for name, command in commands.items()))
    assert {entry.name: entry.command for entry in entries} == commands


@given(st.text())
def test_any_text_is_either_read_or_refused_with_line_numbers(text: str) -> None:
    try:
        entries = parse(text)
    except ProcfileError as error:
        numbers = [int(problem.removeprefix("line ").partition(":")[0]) for problem in error.problems]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] <= text.count("\n") + 1
    else:
        assert all(entry.argv for entry in entries)
