from hypothesis import given
from hypothesis import strategies as st

from cacheroute import sanitise


@given(st.text())
def test_no_escape_sequence_or_direction_mark_reaches_a_terminal(text):
    safe = sanitise.for_terminal(text)
    assert not any((char < " " and char not in "\n\t") or char in "\x7f\x9b\u202e" for char in safe)


@given(st.text())
def test_a_header_value_is_printable_ascii_on_one_line(text):
    value = sanitise.for_header(text, limit=50)
    assert len(value) <= 50
    assert all(" " <= char <= "~" for char in value)


def test_a_line_is_cut_visibly():
    assert sanitise.for_line("a\nb" * 100, limit=6) == "a ba b"[:5] + "…"
