import pytest

from cacheroute.cli.selection import chosen_kdn, chosen_kdns, of_each, the_document
from cacheroute.client import Client
from cacheroute.config import Config
from cacheroute.errors import BadRequest, NotFound, Unavailable
from cacheroute.kdn.config import KdnConfig
from cacheroute.kdn_client import Kdn
from cacheroute.wire.documents import DocumentInfo


def document(source: str, collection: str = "default") -> DocumentInfo:
    return DocumentInfo(
        document_id=f"{collection}/{source}",
        source=source,
        title="t",
        version="",
        collection=collection,
        tags=(),
        revision=1,
        registered_at="",
        blocks=1,
        tokens=1,
    )


DOCUMENTS = [document("/docs/a/guide.md"), document("/docs/b/guide.md"), document("faq.md")]


@pytest.mark.parametrize("what", ["/docs/a/guide.md", "a/guide.md", "./a/guide.md"])
def test_a_source_or_its_end_is_a_document(what: str) -> None:
    assert the_document(DOCUMENTS, what).source == "/docs/a/guide.md"


def test_an_exact_source_wins_over_one_that_ends_like_it() -> None:
    assert the_document([document("/old/faq.md"), *DOCUMENTS], "faq.md").source == "faq.md"


def test_what_could_be_several_is_refused_with_all_of_them() -> None:
    with pytest.raises(BadRequest, match=r"/docs/a/guide\.md, /docs/b/guide\.md"):
        the_document(DOCUMENTS, "guide.md")


@pytest.mark.parametrize("what", ["nothing.md", "abc", "uide.md", "", "abcdef0"])
def test_what_is_not_there_is_said(what: str) -> None:
    with pytest.raises(NotFound, match="knowledge list"):
        the_document(DOCUMENTS, what)


def test_too_short_a_beginning_of_a_kid_is_told_how_long_it_must_be() -> None:
    with pytest.raises(NotFound, match="6 digits or more"):
        the_document(DOCUMENTS, "abcde")


def test_a_source_in_two_collections_is_named_with_both() -> None:
    with pytest.raises(BadRequest, match="blue, red"):
        the_document([document("x.md", "red"), document("x.md", "blue")], "x.md")


async def test_a_kdn_is_the_first_or_the_one_named() -> None:
    config = Config(kdn={"east": KdnConfig(port=9101), "west": KdnConfig(port=9102)})
    async with Client(config, "token") as client:
        assert chosen_kdn(client, None).name == "east"
        assert chosen_kdn(client, "west").name == "west"
        assert [kdn.name for kdn in chosen_kdns(client, None)] == ["east", "west"]
        with pytest.raises(NotFound, match="configured: east, west"):
            chosen_kdn(client, "north")


async def test_a_kdn_that_is_away_hides_no_other_and_is_named() -> None:
    config = Config(kdn={"east": KdnConfig(port=9101), "west": KdnConfig(port=9102)})

    async def name(kdn: Kdn) -> str:
        if kdn.name == "west":
            raise Unavailable("west does not answer")
        return kdn.name

    async with Client(config, "token") as client:
        told, errors = await of_each(chosen_kdns(client, None), name)
        assert told == {"east": "east"}
        assert [error.message for error in errors] == ["west does not answer"]
        with pytest.raises(Unavailable, match="west"):
            await of_each(chosen_kdns(client, "west"), name)
