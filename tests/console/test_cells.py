import pytest
from rich.cells import cell_len

from console.cells import Column, fit, row


@pytest.mark.parametrize(
    "text", ["", "short", "exactly te", "much longer than ten cells", "知识缓存路由器", "a\nb", "é" * 30]
)
@pytest.mark.parametrize("right", [True, False])
def test_whatever_the_text_it_takes_exactly_its_cells(text: str, right: bool) -> None:
    assert cell_len(fit(text, 10, right=right)) == 10


def test_what_is_cut_says_so() -> None:
    assert fit("abcdefghijk", 5) == "abcd…"
    assert fit("abc", 5, right=True) == "  abc"


def test_escape_sequences_do_not_get_through() -> None:
    assert "\x1b" not in fit("\x1b[31mred\x1b[0m", 20)


@pytest.mark.parametrize("width", [0, 1, 7, 20, 80, 200])
def test_a_row_is_as_wide_as_the_screen_however_narrow(width: int) -> None:
    columns = (Column("A", 10), Column("B", 5, True), Column("WHY", 0))
    assert cell_len(row(columns, ("name", "12", "because of this and that"), width).plain) == width


def test_markup_in_foreign_text_is_text() -> None:
    line = row((Column("A", 0),), ("[red]x[/red]",), 20)
    assert line.plain.strip() == "[red]x[/red]"
