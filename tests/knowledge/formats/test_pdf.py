import pytest
from fakes.pdfs import assemble, bomb, encrypted, pdf

from knowledge.errors import BrokenContent, DocumentError, EncryptedContent, NoText, TooCostly
from knowledge.formats.extract import Extract
from knowledge.formats.lines import paragraphs
from knowledge.formats.pdf import pages

HERONS = [
    "Grey herons",
    "",
    "They are patient hunters that stand quite still in shallow wa-",
    "ter for hours until a fish comes by, and only then they strike.",
    "They nest high in old willows.",
]


def only(data: bytes) -> Extract:
    (found,) = pages(data)
    assert isinstance(found, Extract)
    return found


def test_wrapped_lines_are_paragraphs_again() -> None:
    found = only(pdf([HERONS]))
    assert found.title == "Grey herons"
    assert found.text.split("\n\n")[1].startswith(
        "They are patient hunters that stand quite still in shallow water for"
    )


def test_the_title_is_that_of_the_metadata_unless_it_is_a_programs() -> None:
    assert only(pdf([HERONS], title="All about herons")).title == "All about herons"
    assert only(pdf([HERONS], title="Microsoft Word - draft7.doc")).title == "Grey herons"


def test_a_paragraph_goes_on_over_the_page_without_running_heads_and_numbers() -> None:
    words = ["herons", "willows", "pike", "dawn"]
    found = paragraphs(
        [
            f"The Annals\n{word} is what this line is of, and it runs on,\n and {word} is it again, without\nPage {at}"
            for at, word in enumerate(words, 1)
        ]
    )
    assert "Annals" not in found
    assert "Page" not in found
    assert all(found.count(word) == 2 for word in words)
    assert "\n" not in found


def test_a_list_keeps_its_items() -> None:
    assert paragraphs(["What we need\n• rope\n• a lamp that is not\ntoo heavy\n1. go"]) == (
        "What we need\n\n• rope\n\n• a lamp that is not too heavy\n\n1. go"
    )


def test_section_heads_and_lines_of_a_table_of_contents_stand_alone() -> None:
    full = "A line of text that is as long as any other line on this page of it."
    assert paragraphs([f"1.1 Herons . . . . . . . 7\n1.2 Pike . . . . . 9\n{full}\n{full}\n1.2 Pike\n{full}"]) == (
        f"1.1 Herons … 7\n\n1.2 Pike … 9\n\n{full} {full}\n\n1.2 Pike\n\n{full}"
    )


def test_an_empty_password_is_no_obstacle() -> None:
    assert only(encrypted(pdf([HERONS]), user_password="")).title == "Grey herons"


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (encrypted(pdf([HERONS]), user_password="x"), EncryptedContent, "needs a password.*qpdf"),
        (pdf([[], []]), NoText, "its 2 pages have no text.*ocrmypdf"),
        (pdf([HERONS])[:300], BrokenContent, "damaged"),
        (b"%PDF-1.4 and nothing more", BrokenContent, "damaged"),
        (assemble([b"not deflated"], filter="FlateDecode"), DocumentError, "save it anew|recognise it first"),
        (bomb(160), TooCostly, "more than can be read safely"),
    ],
    ids=["password", "scan", "cut off", "only a head", "not what its filter says", "bomb"],
)
def test_what_cannot_be_read_says_what_to_do(data: bytes, error: type[DocumentError], says: str) -> None:
    with pytest.raises(error, match=says):
        pages(data)
