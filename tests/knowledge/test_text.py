from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from knowledge.text import kid_of, neutralise, normalise

any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates too: JSON can carry them


def test_the_kid_is_the_same_whatever_the_line_ends_the_space_around_and_the_accents_form() -> None:
    unix = "Größe\n\nzwei Zeilen"
    forms = [unix, unix.replace("\n", "\r\n"), unix.replace("\n", "\r"), f"\n {unix} \n", "Größe\r\n\nzwei Zeilen"]
    assert {kid_of(form) for form in forms} == {kid_of(unix)}
    assert kid_of(unix) != kid_of(unix.replace("zwei", "drei"))
    assert kid_of("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


@given(any_text)
@example("a\ud800\r\n\u2000")
def test_normal_form_is_reached_in_one_step_and_can_be_encoded(text: str) -> None:
    normal = normalise(text)
    assert normalise(normal) == normal
    assert normal == normal.strip()
    assert "\r" not in normal
    normal.encode()


@pytest.mark.parametrize(
    "token",
    [
        "<|im_start|>", "<|endoftext|>", "<|start_header_id|>", "<|reserved_special_token_7|>", "<｜User｜>",
        "<｜begin▁of▁sentence｜>", "<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>", "<mask>", "<start_of_turn>",
        "<fim_prefix>", "<extra_id_0>", "<unused12>", "<file_sep>", "<filename>", "<think>", "</think>", "<tool_call>",
        "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[CLS]", "[MASK]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[gMASK]",
        "<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "[unused1]",
    ],
)  # fmt: skip
def test_a_control_token_is_reported_and_stays_readable_but_is_no_token_any_more(token: str) -> None:
    clean = neutralise(f"before{token}after {token}")
    assert clean.found == (token,)
    assert token not in clean.text
    assert clean.text.replace(" ", "") == f"before{token}after{token}"


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d", "<p>An <em>HTML</em> text</p>", "x[my_index] = y[INSTANCE]", "see [1] and [RFC 2119]",
        "a | b |> c", "List<String>", "if a<s and s>b", "[section]", "<div class='some_name'>", "[NASA]",
    ],
)  # fmt: skip
def test_ordinary_brackets_are_left_alone(text: str) -> None:
    assert neutralise(text) == neutralise(text).__class__(text, ())


token_soup = st.lists(
    st.sampled_from(["<", ">", "|", "<|", "|>", "[", "]", "/", "im_start", "INST", "s", "SYS", "<<", ">>", " ", "a_b"])
).map("".join)


@given(token_soup | any_text.map(normalise))
@example("<|<|im_start|>im_start|>")
@example("<<s>s>")
@example("[[INST]INST]")
@example("<<<SYS>>SYS>>")
def test_neutralising_only_adds_spaces_and_leaves_nothing_to_neutralise(text: str) -> None:
    clean = neutralise(text)
    assert clean.text.replace(" ", "") == text.replace(" ", "")
    assert neutralise(clean.text).found == ()


@given(text=token_soup)
def test_a_real_tokenizer_finds_no_special_token_in_what_is_left(text: str, wordpiece: Tokenizer) -> None:
    special = {wordpiece.token_to_id("[CLS]"), wordpiece.token_to_id("[SEP]")}
    assert special & set(wordpiece.encode("[CLS]", add_special_tokens=False).ids)
    clean = neutralise(text.replace("INST", "CLS").replace("SYS", "SEP"))
    assert not special & set(wordpiece.encode(clean.text, add_special_tokens=False).ids)


def test_marks_without_end_on_one_letter_are_cut_and_cost_no_time() -> None:
    """Ordering them takes the square of their number: a megabyte would hold its reader up for hours."""
    text = normalise("a" + "\u0301\u0327" * 500_000 + "b")
    assert len(text) <= 32
    assert text[-1] == "b"
    assert normalise(text) == text


def test_a_script_that_lives_of_marks_is_left_as_it_is() -> None:
    for text in ("กิ่งก้านใบที่นั่นน้ำ" * 20, "हिन्दी में लिखा हुआ" * 20, "日本語のテキスト" * 20, "e\u0301" * 100):
        assert normalise(text) == unicodedata.normalize("NFC", text)
