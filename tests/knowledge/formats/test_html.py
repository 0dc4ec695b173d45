import pytest

from knowledge.errors import BadEncoding, BinaryContent
from knowledge.formats.extract import Extract
from knowledge.formats.html import page


def only(data: bytes | str) -> Extract:
    (found,) = page(data.encode() if isinstance(data, str) else data)
    assert isinstance(found, Extract)
    return found


def test_the_main_text_is_kept_with_its_headings_and_what_is_around_it_is_not() -> None:
    found = only(
        """<html><head><title>Herons &amp; pike</title><style>p {}</style></head><body>
        <nav>Home | About</nav><script>alert(1)</script>
        <main><h1>Grey herons<a class=headerlink href="#x">¶</a></h1><p>They catch <b>pike</b>
        at dawn.<p>They use <code>one leg</code>.<h2>Nests</h2>In willows.</main>
        <footer>(c)</footer></body></html>"""
    )
    assert found.title == "Herons & pike"
    assert found.text == ("# Grey herons\n\nThey catch pike at dawn.\n\nThey use `one leg`.\n\n## Nests\n\nIn willows.")


def test_lists_and_tables_can_be_read() -> None:
    found = only(
        """<ul><li>a<li>b<ul><li>inner</ul><li><p>c</p><p>more of c</p></ul><ol start=3><li>x<li>y</ol>
        <table><caption>Fish</caption><tr><th>Name<th>cm<tr><td>Pike<td>90 | 100<tr><td><td>5</table>
        <dl><dt>roost<dd>a place to sleep</dl>"""
    )
    assert found.text == (
        "- a\n- b\n  - inner\n- c\n\n  more of c\n\n3. x\n4. y\n\nFish\n\n"
        "| Name | cm |\n| --- | --- |\n| Pike | 90 \\| 100 |\n|  | 5 |\n\nroost\na place to sleep"
    )


def test_code_keeps_its_lines_and_no_fence_in_it_can_end_it() -> None:
    assert only("<pre>def f():\n    return 1\n</pre>").text == "```\ndef f():\n    return 1\n```"
    assert only("<pre>```\nx\n```</pre>").text.startswith("````\n```")


def test_what_is_hidden_or_a_form_is_no_text() -> None:
    found = only(
        "<p>seen<p hidden>no<p aria-hidden=true>no<div role=navigation>no</div><form><input value=no>kept</form>"
        "<noscript>no</noscript><template>no</template><svg><text>no</text></svg>"
    )
    assert found.text == "seen\n\nkept"


def test_a_main_part_that_holds_only_a_teaser_is_not_the_page() -> None:
    assert "The long story" in only(f"<article>Teaser</article><p>{'The long story. ' * 20}</p>").text


def test_without_a_title_the_first_heading_is_it_and_else_there_is_none() -> None:
    assert only("<p>x<h1>The one</h1>").title == "The one"
    assert only("<p>x").title is None


@pytest.mark.parametrize(
    "data",
    [
        "<meta charset=iso-8859-1><p>Größe".encode("latin-1"),
        '<meta http-equiv="Content-Type" content="text/html; charset=windows-1252"><p>Größe'.encode("cp1252"),
        "<p>Größe".encode(),
        b"\xef\xbb\xbf" + "<p>Größe".encode(),
        "<p>Größe".encode("utf-16"),
        '<?xml version="1.0" encoding="iso-8859-15"?><p>Größe'.encode("iso-8859-15"),
    ],
)
def test_the_charset_is_the_declared_one_or_that_of_the_mark_or_utf8(data: bytes) -> None:
    assert only(data).text == "Größe"


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"<p>Gr\xf6\xdfe", BadEncoding, "not UTF-8: byte 0xf6 at offset 5, and it declares no charset"),
        (b"<meta charset=zip><p>x", BadEncoding, "'zip', which is not known"),
        (b"<meta charset=unicode_escape><p>x", BadEncoding, "not known"),
        (b"<p>a\0b", BinaryContent, "NUL"),
    ],
)
def test_characters_that_cannot_be_told_are_refused(data: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        page(data)


def test_broken_and_deeply_nested_markup_is_read_as_far_as_it_goes() -> None:
    assert only("<p>a<b>b</p>c</i><td>d").text == "ab\n\ncd"
    for tag in ("div", "ul><li", "blockquote", "b", "table><tr><td"):
        found = only(f"<{tag}>" * 2000 + "deep")
        assert "deep" in found.text
        assert len(found.text) < 100
