import pytest
from rich.text import Text

from cacheroute.cli.terminal import state_cell, table
from stack.events import State

ROWS = [("kv-1", 12, "because of something rather long that does not fit"), ("engine-1", 4096, "")]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_table_is_no_wider_than_the_terminal(width: int) -> None:
    assert all(line.cell_len <= width for line in table(("NAME", "MB", "WHY"), ROWS, width, ["MB"]))


def test_figures_are_aligned_to_the_right_and_never_cut() -> None:
    lines = [line.plain for line in table(("NAME", "MB", "WHY"), ROWS, 10, ["MB"])]
    assert lines[1].index("  12") == lines[2].index("4096")


def test_what_is_cut_says_so_and_the_widest_is_cut_first() -> None:
    _, first, _ = (line.plain for line in table(("NAME", "MB", "WHY"), ROWS, 40, ["MB"]))
    assert first.endswith("…")
    assert first.startswith("kv-1 ")


def test_of_a_path_the_end_stays_and_what_is_copied_stays_whole() -> None:
    rows = [("5bb3223049b7", "/home/somebody/documents/guides/herons.md")]
    _, line = (line.plain for line in table(("KID", "SOURCE"), rows, 30, whole=["KID"], ends=["SOURCE"]))
    assert line == "5bb3223049b7  …uides/herons.md"


def test_where_there_is_room_nothing_is_cut_and_no_line_ends_in_blanks() -> None:
    lines = [line.plain for line in table(("NAME", "MB", "WHY"), ROWS, 200, ["MB"])]
    assert ROWS[0][2] in lines[1]
    assert all(line == line.rstrip() or line.endswith("4096  ") for line in lines)


def test_foreign_text_cannot_colour_move_or_break_a_line() -> None:
    (_, line) = table(("A",), [("\x1b[2Jx\n[red]y[/red]",)], 80)
    assert "\x1b" not in line.plain
    assert "\n" not in line.plain
    assert "[red]" in line.plain


def test_every_state_has_a_glyph_and_its_word() -> None:
    for state in State:
        cell = state_cell(state)
        assert isinstance(cell, Text)
        glyph, word = cell.plain.split()
        assert word == state.value
        assert not glyph.isascii()
