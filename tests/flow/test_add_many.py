"""Many documents into a KDN, by the real command beside a whole stack: what comes of each, what stops it, and how
it goes on.
"""

import asyncio
import json
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from fakes.operator import BIN
from fakes.pdfs import bomb, pdf
from fakes.roles import Roles, config_for, running_with_knowledge
from fakes.until import until

from cacheroute.cli.documents import find
from cacheroute.cli.intake import IN_FLIGHT, Intake
from cacheroute.cli.tally import Tally
from cacheroute.client import Client
from cacheroute.errors import Unavailable
from knowledge.parse import Given


class Adding:
    """One run of `cacheroute knowledge add`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, roles: Roles, *words: str) -> "Adding":
        kdn = roles.config.kdn["kdn-1"]
        home = Path(roles.config.paths.state).parent
        file = home / "cacheroute.toml"
        file.write_text(f'[paths]\nstate = "{roles.config.paths.state}"\n[kdn.kdn-1]\nport = {kdn.port}\n')
        process = await asyncio.create_subprocess_exec(
            *(str(BIN / "cacheroute"), "knowledge", "add", "--config", str(file), *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def done(self) -> tuple[int, str, str]:
        out, err = await asyncio.wait_for(self.process.communicate(), 60)
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


@pytest.fixture
async def roles(tmp_path: Path) -> AsyncGenerator[Roles]:
    async with running_with_knowledge(config_for(tmp_path)) as started:
        yield started


def folder_of(tmp_path: Path, count: int, words: int = 60) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(count):
        body = " ".join(f"word{number}x{at}" for at in range(words))
        (folder / f"{number:03}.md").write_text(f"# Document {number}\n\n{body}\n")
    return folder


async def add(roles: Roles, *words: str) -> tuple[int, Any]:
    code, out, err = await (await Adding.start(roles, "--json", *words)).done()
    assert err == ""
    return code, json.loads(out)


async def test_a_folder_of_every_format_and_of_every_trouble(roles: Roles, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, data in {
        "a.txt": b"Text about ferries.",
        "b.html": b"<title>Buses</title><p>Text about buses.",
        "c.pdf": pdf([["Cable cars", "", "They hang from a rope."]]),
        "d.rst.txt": b"Dogs\n====\n\n:func:`bark`",
        "e.jsonl": b'{"text":"one","id":1,"tags":["x"]}\n{bad\n{"text":"two","source":"../../etc/passwd"}',
        "f.md": b"caf\xe9",
        "g.md": b"",
        "h.pdf": bomb(160),
        "i.html": b"PK\x03\x04",
        "j.png": b"\x89PNG",
        "\x1b[2Jk.txt": b"a\0b",
    }.items():
        (folder / name).write_bytes(data)
    code, result = await add(roles, str(folder), "--tag", "transport", "--version", "7")
    assert code == 1
    titles = {document["title"] for document in result["documents"]}
    assert titles == {"a", "Buses", "Cable cars", "Dogs", "one", "two"}
    assert len(result["failures"]) == 6
    for says in ("line 2", "not UTF-8", "white space", "read safely", "zip archive", "NUL"):
        assert any(says in failure for failure in result["failures"]), says
    assert result["error"]["code"] == "bad_document"
    assert result["counts"]["files_passed_over"] == 1
    assert {"read", "cut", "embed", "store"} <= set(result["parts_ms"])
    listed = await roles.control("GET", "/v1/documents", url=roles.kdn_url())
    assert {item["version"] for item in listed["items"]} == {"7"}
    assert all("transport" in item["tags"] for item in listed["items"])
    assert "../../etc/passwd" in {item["source"] for item in listed["items"]}

    spoken = await (await Adding.start(roles, str(folder))).done()
    assert "\x1b" not in spoken[1] + spoken[2]


async def test_a_second_run_finds_all_of_it_unchanged_and_a_third_what_has_changed(
    roles: Roles, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, 30)
    assert (await add(roles, str(folder)))[1]["counts"]["added"] == 30
    await roles.stop("embedder")  # nobody is asked to embed what is in already
    again = (await add(roles, str(folder)))[1]
    assert again["counts"]["unchanged"] == 30
    await roles.start("embedder")
    (folder / "003.md").write_text("# Document 3\n\nNow it says something else.\n")
    code, out, err = await (await Adding.start(roles, str(folder))).done()
    assert code == 0
    assert out.splitlines() == ["replaced  Document 3 (1 block, +1 -1 blocks)"]
    assert "1 replaced, 29 unchanged" in err


@pytest.mark.slow
async def test_chat_is_answered_while_two_hundred_documents_go_in(roles: Roles, tmp_path: Path) -> None:
    await roles.learn("herons.md", "The grey herons of lake Ossiach catch pike at dawn.", build=False)
    adding = await Adding.start(roles, "--json", str(folder_of(tmp_path, 200)))
    done = asyncio.create_task(adding.done())
    statuses: list[int] = []
    while not done.done():
        status, headers, _ = await roles.chat("When do the grey herons of lake Ossiach catch pike?")
        assert headers.get("X-CacheRoute-Knowledge"), headers
        statuses.append(status)
    code, out, _ = await done
    assert code == 0
    assert json.loads(out)["counts"]["added"] == 200
    assert set(statuses) == {200}
    assert len(statuses) > 5


async def test_ctrl_c_says_how_many_are_in_and_the_same_command_goes_on(roles: Roles, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 100)
    adding = await Adding.start(roles, "--json", str(folder))

    async def some_are_in() -> bool:
        status = await roles.control("GET", "/debug/status", url=roles.kdn_url())
        return status["library"]["documents"] >= 5

    await until(some_are_in)
    adding.process.send_signal(signal.SIGINT)
    code, out, err = await adding.done()
    result = json.loads(out)
    assert (code, err) == (130, "")
    assert result["interrupted"] is True
    assert result["error"]["code"] == "interrupted"
    assert "goes on from there" in result["error"]["message"]
    in_already = result["counts"]["added"]
    assert 0 < in_already < 100

    code, rest = await add(roles, str(folder))
    assert code == 0
    assert in_already <= rest["counts"]["unchanged"] <= in_already + IN_FLIGHT
    assert rest["counts"]["unchanged"] + rest["counts"]["added"] == 100


async def test_a_kdn_that_comes_back_is_waited_for_and_one_that_stays_away_ends_the_run(
    roles: Roles, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, 60)
    tally = Tally(60)
    async with Client(roles.config, roles.token) as client:
        intake = Intake(client.kdns["kdn-1"], tally, lambda _: None, lambda _: None)
        run = asyncio.create_task(intake.run(find([str(folder)]).files, Given()))
        await until(lambda: len(tally.added) >= 3)
        await roles.stop("kdn-1")
        await until(lambda: tally.waiting)
        await roles.start("kdn-1")
        await run
        assert len(tally.added) == 60
        assert tally.failures == []

        await roles.stop("kdn-1")
        impatient = Intake(client.kdns["kdn-1"], tally, lambda _: None, lambda _: None, patience_s=0.1)
        with pytest.raises(Unavailable):
            await impatient.run(find([str(folder)]).files, Given())
        await roles.start("kdn-1")


async def test_an_embedder_that_is_away_is_waited_for(roles: Roles, tmp_path: Path) -> None:
    await roles.stop("embedder")
    tally = Tally(10)
    async with Client(roles.config, roles.token) as client:
        intake = Intake(client.kdns["kdn-1"], tally, lambda _: None, lambda _: None)
        run = asyncio.create_task(intake.run(find([str(folder_of(tmp_path, 10))]).files, Given()))
        await until(lambda: tally.waiting)
        await roles.start("embedder")
        await run
    assert (len(tally.added), tally.failures, tally.waiting) == (10, [], "")


async def test_a_document_that_the_kdn_refuses_is_a_failure_and_the_others_go_in(roles: Roles, tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    rows = [{"text": "one", "id": 1}, {"text": "two", "source": "s" * 5000}, {"text": "three", "id": 3}]
    file.write_text("\n".join(map(json.dumps, rows)))
    code, result = await add(roles, str(file))
    assert code == 1
    assert result["counts"]["added"] == 2
    (failure,) = result["failures"]
    assert failure.startswith("sss")
    assert "kdn-1:" in failure


async def test_a_title_for_several_documents_is_refused(roles: Roles, tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text('{"text": "one"}\n{"text": "two"}\n')
    code, result = await add(roles, str(file), "--title", "Both")
    assert (code, result["counts"]["added"]) == (1, 0)
    assert "--title is for a single one" in result["failures"][0]
    code, result = await add(roles, str(file), str(tmp_path), "--title", "Both")
    assert code == 1
    assert "--title and --source" in result["error"]["message"]


async def test_a_stack_that_is_down_is_said_at_once(roles: Roles, tmp_path: Path) -> None:
    await roles.stop("kdn-1")
    code, out, err = await (await Adding.start(roles, str(folder_of(tmp_path, 3)))).done()
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert "is the stack up?" in line
    await roles.start("kdn-1")


async def test_without_a_terminal_the_sums_go_to_stderr_and_stdout_has_a_line_a_document(
    roles: Roles, tmp_path: Path
) -> None:
    code, out, err = await (await Adding.start(roles, str(folder_of(tmp_path, 3)))).done()
    assert code == 0
    assert sorted(out.splitlines()) == [f"added     Document {number} (1 block)" for number in range(3)]
    assert "3 documents in" in err
    assert "embed" in err
