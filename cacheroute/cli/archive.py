"""`cacheroute knowledge export` and `import`: a KDN's library as one file, and back into a KDN."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.selection import chosen_kdn
from cacheroute.cli.words import counted
from cacheroute.errors import Conflict, NotFound
from cacheroute.wire.documents import ImportReport

PIECE_BYTES = 2**20


def export(invocation: Invocation, file: str, collection: str | None, force: bool, kdn: str | None) -> None:
    """The file is there whole or not at all. Raises Conflict where there is one already, NotFound."""
    path = Path(file)
    if path.exists() and not force:
        raise Conflict(f"{path} is there already: name another file, or say --force")
    if not path.parent.is_dir():
        raise NotFound(f"{path.parent}: no such folder to write to")
    draft = path.with_name(f".{path.name}.{os.getpid()}")

    async def written() -> int:
        async with invocation.client() as client:
            return await _write(draft, chosen_kdn(client, kdn).export(collection))

    try:
        nbytes = asyncio.run(written())
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    invocation.out.result({"file": str(path), "nbytes": nbytes})
    invocation.out.say(
        f"{path}: {nbytes / 2**20:.1f} MB of documents and vectors. KV is not in it: build it where this is imported."
    )


def take_in(invocation: Invocation, file: str, kdn: str | None) -> int | None:
    """Returns 1 if a part of it could not be used. Raises NotFound, and what the KDN says."""
    path = Path(file)
    if not path.is_file():
        raise NotFound(f"{path}: {'is no file' if path.exists() else 'no such file'}; an export is one file")

    async def imported() -> ImportReport:
        async with invocation.client() as client:
            return await chosen_kdn(client, kdn).take_in(_pieces(opened))

    with path.open("rb") as opened:
        done = asyncio.run(imported())
    out = invocation.out
    out.result(done)
    out.say(f"{counted(done.added, 'document')} added, {done.replaced} replaced, {done.unchanged} were there already.")
    for failure in done.failures:
        out.note(failure)
    return 1 if done.failures else None


async def _write(path: Path, pieces: AsyncGenerator[bytes]) -> int:
    nbytes = 0
    with path.open("xb") as opened:
        async for piece in pieces:
            await asyncio.to_thread(opened.write, piece)
            nbytes += len(piece)
        opened.flush()
        await asyncio.to_thread(os.fsync, opened.fileno())
    return nbytes


async def _pieces(opened: BinaryIO) -> AsyncGenerator[bytes]:
    while piece := await asyncio.to_thread(opened.read, PIECE_BYTES):
        yield piece
