from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from cacheroute.engine.embedded.detokenise import Detokeniser, StopStrings


def decode_bytes(ids: Sequence[int]) -> str:
    """A byte-level tokenizer with one byte a token: the hardest case for whole characters."""
    return bytes(ids).decode(errors="replace")


def decode_words(ids: Sequence[int]) -> str:
    """A decoder that drops the first word's leading space, as SentencePiece ones do."""
    return "".join(f" w{token}" for token in ids)[1:]


@given(st.text())
def test_every_piece_is_whole_characters_and_all_pieces_are_the_text(text: str):
    text = text.replace("\ufffd", "")
    detokeniser = Detokeniser(decode_bytes)
    pieces = [detokeniser.push(byte) for byte in text.encode()]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


@given(st.lists(st.integers(0, 255)))
def test_bytes_that_are_no_text_are_never_lost_for_what_follows_them(garbage: list[int]):
    detokeniser = Detokeniser(decode_bytes)
    pieces = [detokeniser.push(byte) for byte in [*garbage, *b" end"]]
    assert "".join(pieces) == decode_bytes([*garbage, *b" end"])


def test_a_first_word_is_treated_as_first_only_once():
    detokeniser = Detokeniser(decode_words)
    assert [detokeniser.push(token) for token in (1, 2, 3)] == ["w1", " w2", " w3"]


@given(
    text=st.text("ab<>", max_size=40),
    stops=st.lists(st.text("ab<>", min_size=1, max_size=4), max_size=4),
    cuts=st.lists(st.integers(1, 5), min_size=1),
)
def test_what_is_shown_is_the_text_before_the_first_stop_however_it_was_cut(
    text: str, stops: list[str], cuts: list[int]
):
    shown, at, turn = "", 0, 0
    filtered = StopStrings(stops)
    while at < len(text) and not filtered.stopped:
        size = cuts[turn % len(cuts)]
        shown += filtered.push(text[at : at + size])
        assert not any(stop in shown for stop in stops), "a stop string was let through"
        at, turn = at + size, turn + 1
    if not filtered.stopped:
        shown += filtered.flush()
    ends = [found for stop in stops if (found := text.find(stop)) >= 0]
    if not ends:
        assert shown == text
    else:
        assert filtered.stopped
        assert text.startswith(shown)
        assert not any(stop in shown for stop in stops)
        assert any(text.startswith(stop, len(shown)) for stop in stops)


def test_half_a_stop_string_is_held_back_until_it_is_none():
    filtered = StopStrings(["STOP"])
    assert filtered.push("one ST") == "one "
    assert filtered.push("AR ST") == "STAR "
    assert filtered.flush() == "ST"
