"""Files that would harm whoever parses them: each is one failure, and the next file is read as if nothing had been."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest
from fakes.pdfs import bomb, encrypted, pdf
from fakes.until import until

from knowledge.errors import ArchiveContent, BrokenContent, DocumentError, EncryptedContent, NoText, TooCostly
from knowledge.isolation import Isolation, Limits

SMALL = Limits(seconds=60.0, memory_bytes=2**29)
TANGLE = b"<table><tr><td>" * 1_000_000
"""Takes the HTML5 algorithm minutes."""


@pytest.fixture
async def isolation() -> AsyncGenerator[Isolation]:
    async with Isolation(children=1, limits=SMALL) as started:
        yield started


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children() if "knowledge.isolated" in child.cmdline()}


async def text_of(isolation: Isolation, name: str, data: bytes) -> str:
    (parsed,) = (await isolation.parse(name, data)).parsed
    return parsed.document.text


async def test_one_warm_child_reads_many_files_and_ends_with_its_owner(isolation: Isolation) -> None:
    assert await text_of(isolation, "a.html", b"<p>one") == "one"
    (child,) = children()
    assert await text_of(isolation, "a.rst", b"*two*") == "two"
    assert await text_of(isolation, "a.pdf", pdf([["three"]])) == "three"
    assert children() == {child}
    await isolation.__aexit__()
    assert children() == set()


async def test_our_own_parsers_need_no_child(isolation: Isolation) -> None:
    assert await text_of(isolation, "a.md", b"# x") == "# x"
    assert await text_of(isolation, "a.jsonl", b'{"text": "x"}') == "x"
    assert children() == set()


@pytest.mark.parametrize(
    ("name", "data", "error", "says"),
    [
        ("bomb.pdf", bomb(160), TooCostly, "bomb.pdf: holds more than can be read safely"),
        ("deep.rst", b"".join(b" " * at + b"- a\n\n" for at in range(600)), BrokenContent, "nested too deeply"),
        ("scan.pdf", pdf([[]]), NoText, "scan.pdf: its 1 page has no text"),
        ("secret.pdf", encrypted(pdf([["x"]]), user_password="x"), EncryptedContent, "secret.pdf: needs a password"),
        ("folder.html", b"PK\x03\x04", ArchiveContent, "folder.html: is a zip archive"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value[:12] else "",
)
async def test_a_hostile_file_is_a_failure_and_the_next_one_is_read(
    isolation: Isolation, name: str, data: bytes, error: type[DocumentError], says: str
) -> None:
    with pytest.raises(error, match=says):
        await isolation.parse(name, data)
    assert await text_of(isolation, "next.html", b"<p>fine") == "fine"


@pytest.mark.slow
async def test_a_file_that_takes_minutes_is_given_up_and_the_next_one_is_read() -> None:
    async with Isolation(children=1, limits=Limits(seconds=6.0, memory_bytes=2**33)) as isolation:
        with pytest.raises(TooCostly, match=r"tangle\.html: takes more than 6 s to read"):
            await isolation.parse("tangle.html", TANGLE)
        assert await text_of(isolation, "next.html", b"<p>fine") == "fine"


async def test_more_memory_than_is_given_is_a_failure_that_says_so() -> None:
    async with Isolation(children=1, limits=Limits(memory_bytes=200 * 2**20)) as isolation:
        with pytest.raises(DocumentError, match=r"200 MiB of memory|makes its parser fail"):
            await isolation.parse("wide.html", b"<p>x" * 2_500_000)
        assert await text_of(isolation, "next.html", b"<p>fine") == "fine"


async def test_a_child_that_dies_is_replaced(isolation: Isolation) -> None:
    assert await text_of(isolation, "a.html", b"<p>one") == "one"
    (child,) = children()
    os.kill(child, 9)
    with pytest.raises(BrokenContent, match=r"a\.html: makes its parser fail"):
        await isolation.parse("a.html", b"<p>two")
    assert await text_of(isolation, "a.html", b"<p>three") == "three"


async def test_whoever_stops_waiting_leaves_no_child_at_work(isolation: Isolation) -> None:
    task = asyncio.create_task(isolation.parse("tangle.html", TANGLE))
    await until(children)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == set()


async def test_a_child_can_write_no_file_and_knows_no_secret(
    isolation: Isolation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CACHEROUTE_SECRET", "x")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docutils.py").write_text("raise SystemExit")  # what lies in a folder is not imported from there
    assert await text_of(isolation, "a.rst", b"fine") == "fine"
    (child,) = children()
    assert "CACHEROUTE_SECRET" not in psutil.Process(child).environ()
    assert psutil.Process(child).rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
