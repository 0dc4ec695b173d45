import asyncio
import gzip
import json

import msgspec
import pytest
from fakes.full_disk import no_file_larger_than
from fakes.hash_embedder import HashEmbedder
from fakes.kdn_world import kdn_world, text_of
from fakes.until import until

from cacheroute.client import Client
from cacheroute.errors import BadRequest, NotFound
from cacheroute.kdn.library import archives
from cacheroute.kdn.routes import archives as archive_routes
from knowledge.embedding import DIMENSIONS

QUESTION = {"query": "how do planes land in fog"}


@pytest.fixture
async def world(tmp_path):
    async with kdn_world(tmp_path) as world:
        yield world


async def filled(world, count=3):
    for number in range(count):
        await world.add(f"{number}.md", text_of(30, f"topic{number}x"), version="7", tags=["a", "b"])
    await world.add("plane.md", "Planes land in fog with instruments.", collection="sky", title="Planes")


async def export(world, **which):
    async with world.session.get(f"{world.url}/v1/export", params=which) as answer:
        content = await answer.read()
        assert answer.status == 200, content
        return content


async def take_in(world, content, **headers):
    async with world.session.post(f"{world.url}/v1/import", data=content, headers=headers) as answer:
        return answer.status, msgspec.json.decode(await answer.read())


def lines(content):
    return gzip.decompress(content).splitlines()


def packed(*values):
    return gzip.compress(b"".join(json.dumps(value).encode() + b"\n" for value in values))


async def everything(world):
    return (await world.ok("GET", "/v1/blocks"))["items"], await world.ok("POST", "/v1/search", QUESTION)


async def test_another_kdn_that_takes_in_an_export_has_and_finds_the_same(tmp_path):
    async with kdn_world(tmp_path / "one") as one, kdn_world(tmp_path / "other") as other:
        await filled(one)
        content = await export(one)
        status, report = await take_in(other, content)
        assert (status, report) == (200, {"added": 4, "replaced": 0, "unchanged": 0, "failures": []})
        assert await everything(other) == await everything(one)
        assert lines(await export(other))[1:] == lines(content)[1:]
        assert (await take_in(other, content))[1] == {"added": 0, "replaced": 0, "unchanged": 4, "failures": []}
        changes = (await other.ok("GET", "/debug/status"))["library"]["seq"]
        assert changes == 4

        await other.add("0.md", "Something else.")
        assert (await take_in(other, content))[1] == {"added": 0, "replaced": 1, "unchanged": 3, "failures": []}
        assert await everything(other) == await everything(one)


async def test_one_collection_is_exported_alone_and_one_that_is_not_there_is_named(world):
    await filled(world)
    header, document = map(json.loads, lines(await export(world, collection="sky")))
    assert (header["documents"], document["source"]) == (1, "plane.md")
    status, why = await world.call("GET", "/v1/export", collection="sea")
    assert (status, "'sea'" in why["error"]["message"]) == (404, True)


async def test_an_empty_library_is_exported_and_taken_in(world):
    assert await take_in(world, await export(world)) == (
        200,
        {"added": 0, "replaced": 0, "unchanged": 0, "failures": []},
    )


async def test_vectors_that_fit_are_not_embedded_again_and_others_are(tmp_path, monkeypatch):
    embedded = []

    def embed(self, texts, kind):
        embedded.extend(texts)
        return real(self, texts, kind)

    real = HashEmbedder.embed
    monkeypatch.setattr(HashEmbedder, "embed", embed)
    async with kdn_world(tmp_path) as world:
        await filled(world)
        header, *documents = map(json.loads, lines(await export(world)))
        found = await everything(world)
        for document in documents:
            await world.ok("DELETE", "/v1/documents", source=document["source"])
        embedded.clear()
        await take_in(world, packed(header, *documents))
        assert len(embedded) == 1  # to see whether it is the same model

        async def restored(*content):
            for document in documents:
                await world.ok("DELETE", "/v1/documents", source=document["source"])
            embedded.clear()
            status, report = await take_in(world, packed(*content))
            assert (status, report["added"], report["failures"]) == (200, 4, [])
            assert len(set(embedded)) == 4
            assert await everything(world) == found

        await restored(header | {"dimensions": 2 * DIMENSIONS}, *documents)
        await restored(header, *(document | {"vectors": documents[-1]["vectors"]} for document in documents))


async def test_a_bad_line_is_a_failure_and_the_others_come_in(world):
    await filled(world)
    header, *documents = map(json.loads, lines(await export(world)))
    for document in documents:
        await world.ok("DELETE", "/v1/documents", source=document["source"])
    documents[1]["blocks"][0]["text"] = "Somebody changed this."
    documents[2]["tags"] = ["tag"] * 1000
    documents[2]["source"] = "2.md \x1b[2J" + "x" * 5000
    status, report = await take_in(world, packed(header, *documents))
    assert (status, report["added"]) == (200, 2)
    assert [failure[:6] for failure in report["failures"]] == ["line 3", "2.md \ufffd"]
    assert "$.source" in report["failures"][1]
    assert all("\x1b" not in failure and len(failure) < 600 for failure in report["failures"])
    assert len((await world.ok("GET", "/v1/documents"))["items"]) == 2


async def test_a_report_names_so_many_failures_and_counts_the_rest(world, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FAILURES", 3)
    header = json.loads(lines(await export(world))[0])
    _, report = await take_in(world, packed(header | {"documents": 10}, *range(10)))
    assert len(report["failures"]) == 4
    assert report["failures"][-1] == "and 7 more"


async def test_of_a_file_that_is_cut_off_what_came_in_stays_and_the_whole_one_goes_on_from_there(world):
    await filled(world, 30)
    content = await export(world)
    for document in (await world.ok("GET", "/v1/documents"))["items"]:
        await world.ok("DELETE", "/v1/documents", source=document["source"])
    status, report = await take_in(world, content[: len(content) // 2])
    assert (status, 0 < report["added"] < 31) == (200, True)
    (failure,) = report["failures"]
    assert f"cut off after {report['added']} of 31 documents" in failure
    _, rest = await take_in(world, content)
    assert (rest["unchanged"], rest["added"], rest["failures"]) == (report["added"], 31 - report["added"], [])


@pytest.mark.parametrize(
    ("content", "headers", "status", "named"),
    [
        (b"", {}, 400, "no export"),
        (b"some text", {}, 400, "no export"),
        (packed({"format": "tar"}), {}, 400, "no header"),
        (packed({"format": "tar"}), {"Content-Encoding": "gzip"}, 400, "Content-Encoding"),
        (gzip.compress(bytes(2**22)), {}, 413, "max_import_mb"),
        (bytes(2**20 + 1), {}, 413, "max_import_mb"),
    ],
    ids=["empty", "text", "another format", "encoded twice", "a bomb", "too large"],
)
async def test_what_is_no_export_is_refused(tmp_path, content, headers, status, named):
    async with kdn_world(tmp_path, max_import_mb=1) as world:
        answered, why = await take_in(world, content, **headers)
        assert (answered, named in why["error"]["message"]) == (status, True), why


async def test_an_import_that_stops_coming_is_given_up(world, monkeypatch):
    monkeypatch.setattr(archive_routes, "PIECE_TIMEOUT_S", 0.05)

    async def stuck():
        yield gzip.compress(b"{}")[:10]
        await asyncio.Event().wait()

    status, why = await take_in(world, stuck())
    assert (status, why["error"]["code"]) == (408, "body_too_slow")


async def test_there_is_one_import_at_a_time(world):
    first_came, go_on = asyncio.Event(), asyncio.Event()
    content = await export(world)

    async def slow():
        yield content[:10]
        first_came.set()
        await go_on.wait()
        yield content[10:]

    first = asyncio.create_task(take_in(world, slow()))
    await first_came.wait()

    async def refused():
        return (await take_in(world, content))[0] == 429

    await until(refused)
    go_on.set()
    assert (await first)[0] == 200


async def test_a_library_is_used_while_its_export_is_read_slowly(world, monkeypatch):
    """Whoever reads slowly keeps no old state alive: what is deleted meanwhile is out of the log at once."""
    monkeypatch.setattr(archives, "_PIECE_BYTES", 100)
    await filled(world, 20)
    async with world.session.get(f"{world.url}/v1/export") as answer:
        content = await answer.content.readexactly(10)
        await world.ok("DELETE", "/v1/documents", source="plane.md")
        await world.add("new.md", "New text.")
        content += await answer.content.read()
    sources = [json.loads(line)["source"] for line in lines(content)[1:]]
    assert ("plane.md" in sources, "new.md" in sources, len(sources)) == (True, False, 21)


async def test_a_full_disk_is_503_loses_nothing_and_is_over_once_there_is_room(world):
    await filled(world)
    before = await everything(world)
    size = (world.data_dir / "kdn" / "kdn-1" / "library.sqlite-wal").stat().st_size
    document = {"source": "long.md", "text": text_of(20_000, "long")}
    with no_file_larger_than(size + 10_000):
        status, why = await world.call("POST", "/v1/documents", document)
    assert (status, why["error"]["code"], "library.sqlite" in why["error"]["message"]) == (503, "storage_failed", True)
    assert await everything(world) == before
    assert (await world.ok("POST", "/v1/documents", document))["status"] == "added"


async def test_an_export_for_which_the_disk_has_no_room_is_503_and_over_once_there_is(world):
    await filled(world)
    with no_file_larger_than(0):
        status, why = await world.call("GET", "/v1/export")
    assert (status, why["error"]["code"]) == (503, "storage_failed")
    assert len(lines(await export(world))) == 5


async def test_the_operators_client_fetches_an_export_and_gives_it_back(world):
    await filled(world, 20)
    async with Client(world.config, world.tokens.control) as client:
        kdn = client.kdns["kdn-1"]
        content = [piece async for piece in kdn.export(None)]

        async def pieces():
            for piece in content:
                yield piece

        report = await kdn.take_in(pieces())
        assert (report.unchanged, report.failures) == (21, ())
        with pytest.raises(NotFound, match="'sea'"):
            await anext(kdn.export("sea"))
        content.pop()
        with pytest.raises(BadRequest, match="no export"):
            await kdn.take_in(pieces())
