import json

import pytest
from fakes.kdn_world import kdn_world, text_of

from cacheroute.errors import Unavailable
from cacheroute.kdn.app import planes
from cacheroute.service import serving


@pytest.fixture
async def world(tmp_path):
    async with kdn_world(tmp_path) as world:
        yield world


async def add(world, source, text, **fields):
    return await world.ok("POST", "/v1/documents", {"source": source, "text": text, **fields})


async def refused(world, body):
    """(status, message) for a body as it is."""
    async with world.session.post(f"{world.url}/v1/documents", data=body) as answer:
        return answer.status, (await answer.json())["error"]["message"]


async def test_a_registration_says_what_changed_and_what_took_how_long(world):
    one, two = text_of(900, "one"), text_of(900, "two")
    first = await add(world, "a", one)
    assert (first["status"], first["added"], first["removed"]) == ("added", first["kids"], [])
    again = await add(world, "a", f"{one}\n\n{two}")
    assert (again["status"], set(first["kids"]) & set(again["added"])) == ("replaced", set())
    assert set(again["kids"]) - set(again["added"]) == set(first["kids"]) - set(again["removed"])
    same = await add(world, "a", f"{one}\n\n{two}")
    assert (same["status"], same["kids"], same["added"], same["removed"]) == ("unchanged", again["kids"], [], [])
    for answer in (first, again, same):
        assert set(answer["parts_ms"]) == {"cut", "embed", "store"}
        assert all(ms >= 0 for ms in answer["parts_ms"].values())


async def test_near_duplicates_are_named_whatever_their_collection(world):
    old = await add(world, "old", text_of(300, "word"), collection="archive")
    new = await add(world, "new", text_of(300, "word") + " and a little more")
    (near,) = new["near_duplicates"]
    assert 0.9 < near.pop("similarity") < 1
    assert near == {
        "kid": new["kids"][0],
        "other_kid": old["kids"][0],
        "other_source": "old",
        "other_collection": "archive",
    }
    (same,) = (await add(world, "copy", "short"), await add(world, "copy of it", "short"))[1]["near_duplicates"]
    assert (same["similarity"], same["other_source"]) == (1.0, "copy")


async def test_an_engine_that_cannot_hold_the_largest_block_is_named_with_what_to_do(world):
    short = await world.add_instance(max_model_len=600)
    for context in (700, 8192, 0):  # 0: it does not say
        await world.add_instance(max_model_len=context)
    assert (await add(world, "short", "A few words."))["notes"] == []
    (note,) = (await add(world, "long", text_of(300, "word")))["notes"]
    for said in (f"{short.name} (and 1 more)", "600 tokens", "block_tokens to 88"):
        assert said in note


REFUSED = [
    ({"source": "a", "text": "x" * (11 * 2**20)}, 413, "bytes"),
    ({"source": "a", "text": "x" * (50 * 2**20)}, 413, "larger than"),
    ({"source": "a", "text": "\n\n".join(f"{n}{' w' * 60}" for n in range(17_000))}, 413, "17,000 paragraphs"),
    ({"source": "a", "text": "nul\0"}, 400, "NUL"),
    ({"source": "a\0b", "text": "t"}, 400, "source"),
    ({"source": "a\nb", "text": "t"}, 400, "source"),
    ({"source": " \u2003", "text": "t"}, 400, "source"),
    ({"source": "a", "text": "t", "collection": "\x1b[2J"}, 400, "collection"),
    ({"source": "a", "text": "t", "collection": "  "}, 400, "collection"),
    ({"source": "a", "text": "t", "title": "a\0b"}, 400, "title"),
    ({"source": "a", "text": "t", "title": "t" * 5000}, 400, "title"),
    ({"source": "a", "text": "t", "version": "1" * 300}, 400, "version"),
    ({"source": "a", "text": "t", "tags": ["t"] * 100_000}, 400, "tags"),
    ({"source": "a", "text": "t", "tags": ["t" * 300]}, 400, "tags"),
    ({"source": "a", "text": "t", "tags": ["a\x07"]}, 400, "tags"),
    ({"source": "a", "text": "t", "tags": "sky"}, 400, "tags"),
    ({"source": "a", "text": "lone \ud800 surrogate"}, 400, "/v1/documents"),
    ({"source": "a\ud800", "text": "t"}, 400, "/v1/documents"),
    ([], 400, "object"),
]


async def test_what_nobody_should_send_is_refused_by_name(world):
    for body, status, named in REFUSED:
        answered, why = await refused(world, json.dumps(body).encode())
        assert (answered, named in why) == (status, True), (str(body)[:100], why[:500])
    assert (await world.ok("GET", "/v1/documents"))["items"] == []


async def test_a_body_that_is_not_utf_8_or_nested_without_end_is_400(world):
    for body in (b'{"source": "a", "text": "\xff"}', b"[" * 100_000, b'{"source": "a", "text": "\xed\xa0\x80"}', b""):
        assert (await refused(world, body))[0] == 400


async def test_a_document_at_the_bounds_is_taken(world):
    fields = {"title": "t" * 4096, "version": "1" * 256, "tags": ["t" * 256] * 64, "collection": "c" * 4096}
    added = await add(world, "s" * 4096, text_of(5, "word"), **fields)
    assert len(added["title"]) == 160


@pytest.mark.parametrize("damage", [b"", b"no catalogue " * 1000], ids=["empty", "another file"])
async def test_a_kdn_whose_catalogue_is_damaged_ends_with_a_line_that_says_what_to_do(world, damage):
    await add(world, "a", "text")
    await world.stop_kdn()
    path = world.data_dir / "kdn" / "kdn-1" / "library.sqlite"
    path.write_bytes(damage)
    with pytest.raises(Unavailable) as ended:
        async with serving(await planes(world.config, "kdn-1")):
            pass
    for said in (str(path), "is damaged", "move it away", "cacheroute knowledge import FILE"):
        assert said in ended.value.message
    assert "\n" not in ended.value.message
    assert path.read_bytes() == damage
    for left in path.parent.glob("library.sqlite*"):
        left.rename(left.with_name(f"damaged-{left.name}"))
    await world.start_kdn()
    assert (await add(world, "a", "text"))["status"] == "added"


async def test_a_catalogue_that_breaks_while_it_is_open_is_503_and_named(world):
    await add(world, "a", text_of(5000, "word"))
    await world.stop_kdn()
    await world.start_kdn()
    path = world.data_dir / "kdn" / "kdn-1" / "library.sqlite"
    path.write_bytes(path.read_bytes()[:4096] + b"\x55" * (path.stat().st_size - 4096))
    status, answer = await world.call("GET", "/v1/documents")
    assert (status, answer["error"]["code"]) == (503, "storage_failed")
    assert "library.sqlite is damaged" in answer["error"]["message"]


async def test_a_document_says_how_many_of_its_blocks_are_built(world):
    await world.add_instance()
    await world.add("built", text_of(22, "alpha"))
    await world.add("not built", text_of(22, "beta"))
    await world.built((await world.ok("GET", "/v1/blocks", source="built"))["items"][0]["kid"])
    listed = (await world.ok("GET", "/v1/documents"))["items"]
    assert {each["source"]: (each["built_blocks"], each["blocks"]) for each in listed} == {
        "built": (1, 1),
        "not built": (0, 1),
    }
