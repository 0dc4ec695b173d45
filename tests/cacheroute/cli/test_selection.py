import pytest

from cacheroute.cli.selection import chosen_kdn, find_blocks
from cacheroute.client import Client
from cacheroute.config import Config
from cacheroute.errors import BadRequest, NotFound
from cacheroute.kdn.config import KdnConfig
from cacheroute.wire.documents import BlockInfo


def block(kid: str, source: str, ordinal: int = 0, collection: str = "default") -> BlockInfo:
    return BlockInfo(kid=kid, source=source, title="t", ordinal=ordinal, chars=1, collection=collection)


BLOCKS = [
    block("abcdef01", "/docs/a/guide.md", 1),
    block("abcdef77", "/docs/a/guide.md", 0),
    block("12345678", "/docs/b/guide.md"),
    block("99999999", "faq.md"),
]


def kids(what: str) -> list[str]:
    return [found.kid for found in find_blocks(BLOCKS, what)]


def test_the_beginning_of_a_kid_is_one_block() -> None:
    assert kids("abcdef0") == ["abcdef01"]
    assert kids("12345678") == ["12345678"]


def test_a_source_is_all_its_blocks_in_order() -> None:
    assert kids("/docs/a/guide.md") == ["abcdef77", "abcdef01"]


@pytest.mark.parametrize("what", ["a/guide.md", "./a/guide.md"])
def test_the_end_of_a_source_is_enough(what: str) -> None:
    assert kids(what) == ["abcdef77", "abcdef01"]


def test_an_exact_source_wins_over_one_that_ends_like_it() -> None:
    blocks = [*BLOCKS, block("55555555", "/old/faq.md")]
    assert [found.kid for found in find_blocks(blocks, "faq.md")] == ["99999999"]


@pytest.mark.parametrize(("what", "says"), [("abcdef", "abcdef01, abcdef77"), ("guide.md", "/docs/b/guide.md")])
def test_what_could_be_several_is_refused_with_all_of_them(what: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        kids(what)


@pytest.mark.parametrize("what", ["nothing.md", "abc", "uide.md", ""])
def test_what_is_not_there_is_said(what: str) -> None:
    with pytest.raises(NotFound, match="knowledge list"):
        kids(what)


def test_too_short_a_beginning_of_a_kid_is_told_how_long_it_must_be() -> None:
    with pytest.raises(NotFound, match="6 digits or more"):
        kids("abcde")


def test_one_source_in_two_collections_is_two_documents() -> None:
    blocks = [block("aaaaaaaa", "x.md"), block("bbbbbbbb", "x.md", collection="other")]
    with pytest.raises(BadRequest, match="several collections"):
        find_blocks(blocks, "x.md")


def test_a_kdn_is_the_first_or_the_one_that_is_named() -> None:
    client = Client(Config(kdn={"near": KdnConfig(), "far": KdnConfig(port=9102)}), "token")
    assert chosen_kdn(client, None).name == "near"
    assert chosen_kdn(client, "far").url == "http://127.0.0.1:9102"
    with pytest.raises(NotFound, match="near, far"):
        chosen_kdn(client, "middle")
