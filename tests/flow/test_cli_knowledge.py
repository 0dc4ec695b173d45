"""A whole stack from the command line, its engine somebody else's: knowledge in, questions asked, knowledge out."""

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes.fake_engine import FakeEngine
from fakes.operator import Operator, operator
from fakes.ports import free_port

from cacheroute.service import serving

pytestmark = pytest.mark.slow


@contextmanager
def engine_of_somebody_elses() -> Generator[int]:
    """A fake OpenAI server in a thread of its own; yields its port."""
    port, ready, loop = free_port(), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with serving([FakeEngine().plane(port)], drain_s=0):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Generator[Operator]:
    with (
        engine_of_somebody_elses() as port,
        operator(tmp_path_factory.mktemp("home"), f'kind = "openai"\nurl = "http://127.0.0.1:{port}"') as someone,
    ):
        up = someone.cacheroute("up")
        assert up.code == 0, up.err
        yield someone


HERONS = "# Grey herons\n\nThe grey herons of lake Ossiach catch pike at dawn, standing on one leg for hours.\n"


@pytest.fixture
def herons(person: Operator) -> Generator[Path]:
    file = person.home / "herons.md"
    file.write_text(HERONS)
    assert person.cacheroute("knowledge", "add", str(file)).code == 0
    yield file
    person.cacheroute("knowledge", "delete", "herons.md", "--yes")


def test_status_shows_pools_and_kdns_and_is_content(person: Operator) -> None:
    done = person.cacheroute("status", "--json")
    assert done.code == 0
    assert done.json["ready"] is True
    assert [pool["name"] for pool in done.json["pools"]] == ["pool-1"]
    assert [kdn["name"] for kdn in done.json["kdns"]] == ["kdn-1"]
    assert "fake-model" in person.cacheroute("status").out


def test_a_document_is_added_found_shown_replaced_and_deleted(person: Operator, herons: Path) -> None:
    listed = person.cacheroute("knowledge", "list", "--json").json["kdns"]["kdn-1"]
    (document,) = [each for each in listed if each["source"].endswith("herons.md")]
    assert (document["title"], document["blocks"], document["revision"]) == ("Grey herons", 1, 1)
    listed = person.cacheroute("knowledge", "list", "--blocks", "--json").json["kdns"]["kdn-1"]
    (block,) = [block for block in listed if block["source"].endswith("herons.md")]

    by_kid = person.cacheroute("knowledge", "show", block["kid"][:10], "--json").json["blocks"]
    assert "lake Ossiach" in by_kid[0]["text"]
    assert person.cacheroute("knowledge", "show", "herons.md", "--json").json["blocks"] == by_kid

    again = person.cacheroute("knowledge", "add", str(herons), "--json").json["documents"]
    assert again[0]["status"] == "unchanged"
    herons.write_text(HERONS + "\nThey nest in old willows.\n")
    replaced = person.cacheroute("knowledge", "add", str(herons), "--json").json["documents"]
    assert (replaced[0]["status"], replaced[0]["removed"]) == ("replaced", [block["kid"]])

    refused = person.cacheroute("knowledge", "delete", "herons.md")
    assert (refused.code, "--yes" in refused.err) == (1, True)
    deleted = person.cacheroute("knowledge", "delete", "herons.md", "--yes", "--json")
    assert deleted.json["kdns"]["kdn-1"]["kids"] == replaced[0]["kids"]
    assert person.cacheroute("knowledge", "show", "herons.md").code == 1


def test_search_shows_scores_the_threshold_and_the_reason(person: Operator, herons: Path) -> None:
    found = person.cacheroute("knowledge", "search", "When do the grey herons catch pike?", "--json").json
    assert found["accepted"][0]["title"] == "Grey herons"
    assert found["accepted"][0]["confidence"] >= found["threshold"]
    nothing = person.cacheroute("knowledge", "search", "How do I cancel my newspaper subscription?")
    assert "below-gate" in nothing.out
    assert "threshold in force" in nothing.out


def test_why_tells_of_the_last_request_of_one_by_its_id_and_of_a_question(person: Operator, herons: Path) -> None:
    asked = person.cacheroute("ask", "When do the grey herons catch pike?", "--json").json["answer"]
    last = person.cacheroute("knowledge", "why", "last", "--json").json
    assert last["request_id"] == asked["way"]["request_id"]
    assert last["considered"][0]["title"] == "Grey herons"
    by_id = person.cacheroute("knowledge", "why", last["request_id"])
    assert "Grey herons" in by_id.out
    assert "pool-1 -> instance-1" in by_id.out
    assert "Grey herons" in person.cacheroute("knowledge", "why", "When do grey herons catch pike?").out


def test_an_edit_makes_a_new_version_and_no_edit_makes_none(person: Operator, herons: Path) -> None:
    edited = person.cacheroute("knowledge", "edit", "herons.md", "--file", "-", "--json", stdin=HERONS + "\nOld.\n")
    assert edited.json["status"] == "replaced"
    again = person.cacheroute("knowledge", "edit", "herons.md", "--file", "-", "--json", stdin=HERONS + "\nOld.\n")
    assert again.json["status"] == "unchanged"
    assert "Old." in person.cacheroute("knowledge", "show", "herons.md").out
    refused = person.cacheroute("knowledge", "edit", "herons.md")
    assert (refused.code, "--file" in refused.err) == (1, True)


def test_what_is_exported_comes_back_and_a_file_cut_off_says_how_far_it_went(person: Operator, herons: Path) -> None:
    file = person.home / "library.gz"
    assert person.cacheroute("knowledge", "export", str(file)).code == 0
    kept = file.read_bytes()
    refused = person.cacheroute("knowledge", "export", str(file))
    assert (refused.code, "--force" in refused.err) == (1, True)
    assert file.read_bytes() == kept
    person.cacheroute("knowledge", "delete", "herons.md", "--yes")
    cut = person.home / "cut.gz"
    cut.write_bytes(kept[:-200])
    broken = person.cacheroute("knowledge", "import", str(cut))
    assert (broken.code, "cut off" in broken.err) == (1, True)
    assert person.cacheroute("knowledge", "import", str(file), "--json").json["failures"] == []
    assert "lake Ossiach" in person.cacheroute("knowledge", "show", "herons.md").out


def test_a_deletion_says_where_was_looked_and_that_nothing_is_left(person: Operator, herons: Path) -> None:
    gone = person.cacheroute("knowledge", "delete", "herons.md", "--yes", "--json").json["kdns"]["kdn-1"]
    assert {proof["place"] for proof in gone["proof"]} >= {"text", "vectors", "search index", "blobs"}
    assert {proof["left"] for proof in gone["proof"]} == {0}


def test_the_kdns_say_what_they_hold_and_what_they_cannot(person: Operator, herons: Path) -> None:
    told = person.cacheroute("kdn", "status", "--json").json["kdns"]["kdn-1"]
    assert (told["registered"], told["builds"]) == (True, [])
    shown = person.cacheroute("kdn", "status")
    assert "no KV for instance-1: " in shown.out
    assert "only one KDN" in person.cacheroute("kdn", "sync").err


def test_builds_may_be_queued_for_an_engine_to_come_and_cancelled(person: Operator, herons: Path) -> None:
    queued = person.cacheroute("knowledge", "build", "herons.md", "--no-wait", "--json").json
    assert [build["state"] for build in queued["builds"]] == ["queued"]
    assert "1 build queued" in person.cacheroute("kdn", "status").out
    cancelled = person.cacheroute("knowledge", "build", "--cancel", "--json").json["cancelled"]
    assert cancelled == [build["id"] for build in queued["builds"]]


def test_a_question_is_answered_with_what_was_used_and_why(person: Operator, herons: Path) -> None:
    done = person.cacheroute("ask", "When do the grey herons of Ossiach catch pike?")
    assert done.code == 0, done.err
    assert done.out.startswith("t0t1t2")
    assert "Grey herons" in done.out
    assert "pool-1 -> instance-1" in done.out
    assert "first token" in done.out


def test_the_same_as_json_and_in_one_piece(person: Operator) -> None:
    done = person.cacheroute("ask", "-", "--json", "--no-stream", "--no-rag", stdin="what?")
    assert done.json["answer"]["text"] == "ok"
    assert done.json["answer"]["way"]["knowledge"] == []
    assert done.json["answer"]["ttft_ms"] is None


def test_explicit_knowledge_is_used_whatever_retrieval_says(person: Operator, herons: Path) -> None:
    listed = person.cacheroute("knowledge", "list", "--blocks", "--json").json["kdns"]["kdn-1"]
    kid = next(block["kid"] for block in listed if block["source"].endswith("herons.md"))
    for name in (kid, kid[:12], "herons.md"):
        done = person.cacheroute("ask", "what?", "--knowledge", name, "--json")
        assert done.json["answer"]["way"]["knowledge"] == [kid]
        assert done.json["titles"] == {kid: "Grey herons"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ask", "what?", "--model", "nope"], "served: fake-model"),
        (["ask", "what?", "--knowledge", "deadbeef"], "deadbeef"),
        (["ask", "what?", "--knowledge", 16 * "dead"], "deaddead"),
        (["ask", "  "], "empty"),
        (["ask", b"caf\xe9"], "not UTF-8"),
        (["knowledge", "search", " "], "empty"),
        (["knowledge", "show", "deadbeef"], "no kid begins with"),
        (["knowledge", "why", "no-such-request"], "knowledge search"),
        (["knowledge", "verify"], "--all"),
        (["knowledge", "pin", "nothing-like-it"], "knowledge list"),
        (["knowledge", "evict", "nothing-like-it", "--yes"], "knowledge list"),
        (["knowledge", "delete", "nothing-like-it", "--yes"], "knowledge list"),
        (["knowledge", "calibrate", "/no/such/file"], "/no/such/file: no such file"),
        (["knowledge", "calibrate", "/dev/null"], "no questions"),
        (["knowledge", "import", "/no/such/file"], "no such file"),
        (["knowledge", "import", "/dev"], "is no file"),
        (["knowledge", "export", "/no/such/folder/file"], "no such folder"),
        (["knowledge", "show", "nothing-like-it"], "knowledge list"),
        (["knowledge", "build"], "--all"),
        (["knowledge", "list", "--kdn", "kdn-9"], "configured: kdn-1"),
        (["knowledge", "add", "/no/such/file.md"], "/no/such/file.md: no such file or directory"),
        (["bench", "nope"], "there are all, demo"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_possible(
    person: Operator, words: list[str | bytes], says: str
) -> None:
    done = person.cacheroute(*words)
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert says in line


def test_an_engine_that_takes_no_kv_is_said_when_kv_is_asked_for(person: Operator, herons: Path) -> None:
    done = person.cacheroute("knowledge", "build", "herons.md")
    assert done.code == 1
    assert "no live instance can build KV (instance-1: " in done.err


def test_a_folder_is_added_but_for_what_cannot_be_read_which_is_named(person: Operator) -> None:
    folder = person.home / "docs"
    (folder / ".hidden").mkdir(parents=True)
    (folder / "good.txt").write_text("A small text about ferries and their timetables.")
    (folder / "bad.md").write_bytes(b"caf\xe9")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / ".hidden" / "no.md").write_text("never")
    done = person.cacheroute("knowledge", "add", str(folder), "--json")
    assert done.code == 1
    assert [document["status"] for document in done.json["documents"]] == ["added"]
    (failure,) = done.json["failures"]
    assert "bad.md" in failure
    assert "not UTF-8" in failure
    person.cacheroute("knowledge", "delete", "good.txt", "--yes")


def test_text_from_a_pipe_needs_no_name(person: Operator) -> None:
    first = person.cacheroute("knowledge", "add", "-", "--title", "Ferries", "--json", stdin="Ferries leave at noon.")
    again = person.cacheroute("knowledge", "add", "-", "--title", "Ferries", "--json", stdin="Ferries leave at noon.")
    assert again.json["documents"][0]["status"] == "unchanged"
    person.cacheroute("knowledge", "delete", first.json["documents"][0]["source"], "--yes")


def test_control_tokens_and_escape_sequences_in_a_document_reach_no_terminal(person: Operator) -> None:
    done = person.cacheroute(
        "knowledge",
        "add",
        "-",
        "--source",
        "evil",
        "--title",
        "<|im_start|>\x1b[2Jtitle",
        stdin="Body \x1b]0;x\x07 text.",
    )
    assert done.code == 0, done.err
    shown = person.cacheroute("knowledge", "show", "evil").out + person.cacheroute("knowledge", "list").out
    assert "\x1b" not in shown + done.out
    person.cacheroute("knowledge", "delete", "evil", "--yes")
