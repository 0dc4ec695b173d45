import base64
import string

import pytest
from fakes.kdn_world import kdn_world, text_of

URL_SAFE = frozenset(string.ascii_letters + string.digits + "-_")


@pytest.fixture
async def world(tmp_path):
    async with kdn_world(tmp_path) as world:
        yield world


async def pages(world, path, **which):
    """Each page of a listing, as the sources on it."""
    after = {}
    while True:
        page = await world.ok("GET", path, **which, **after)
        yield [item["source"] for item in page["items"]]
        if not page["next"]:
            return
        assert set(page["next"]) <= URL_SAFE
        after = {"after": page["next"]}


@pytest.mark.parametrize("path", ["/v1/documents", "/v1/blocks"])
async def test_a_listing_is_neither_doubled_nor_torn_by_what_changes_between_its_pages(world, path):
    for name in "bdfh":
        await world.add(name, text_of(5, name))
    listing = pages(world, path, limit=2)
    assert await anext(listing) == ["b", "d"]
    await world.add("a", "before what was read")
    await world.add("c", "before it, too")
    await world.ok("DELETE", "/v1/documents", source="d")  # the very one that the cursor names
    await world.add("g", "after it")
    assert [page async for page in listing] == [["f", "g"], ["h"]]


async def test_a_last_page_that_is_full_is_followed_by_none(world):
    for name in ("ü/ä?&=", "x y"):
        await world.add(name, text_of(5, "word"))
    assert [page async for page in pages(world, "/v1/documents", limit=1)] == [["x y"], ["ü/ä?&="]]
    assert [page async for page in pages(world, "/v1/documents", limit=2)] == [["x y", "ü/ä?&="]]


async def test_blocks_of_one_document_are_cut_between_pages_and_filters_hold_on_each(world):
    long = "\n\n".join(text_of(400, f"part{number}x") for number in range(4))
    added = await world.ok("POST", "/v1/documents", {"source": "long", "text": long, "collection": "blue"})
    assert len(added["kids"]) > 3
    await world.add("long", "another of the same name", collection="red")
    await world.add("short", "and a short one", collection="blue")
    only = {"source": "long", "collection": "blue", "limit": 1}
    assert [page async for page in pages(world, "/v1/blocks", **only)] == [["long"]] * len(added["kids"])
    (found,) = [page async for page in pages(world, "/v1/blocks", kid=added["kids"][0][:12])]
    assert found == ["long"]
    assert [page async for page in pages(world, "/v1/documents", source="long", limit=1)] == [["long"], ["long"]]


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("path", ["/v1/documents", "/v1/blocks", "/v1/artifacts", "/v1/builds"])
async def test_a_cursor_that_no_page_gave_is_400(world, path):
    made_up = [cursor(text) for text in ("{}", "[1.5]", '["a","b","c","d"]', f'["a","b",{2**63}]', f"[{-(2**63) - 1}]")]
    for after in ("0", "7", "!", "ä", "/etc/passwd", "A" * 5000, *made_up):
        status, answer = await world.call("GET", path, after=after)
        assert (status, answer["error"]["param"]) == (400, "after"), after
