"""`cacheroute knowledge edit`: a registered document in an editor, and back as its new version."""

import asyncio
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.reading import read_text
from cacheroute.cli.selection import chosen_kdn, find_document
from cacheroute.cli.words import counted
from cacheroute.errors import BadRequest
from cacheroute.wire.documents import AddDocument, AddedDocument, DocumentInfo

DEFAULT_EDITOR = "vi"


def edit(invocation: Invocation, what: str, file: str | None, kdn: str | None) -> None:
    """Without an editor's window, `file` (or - for standard input) has the new text. Raises BadRequest, NotFound."""
    if file is None and (invocation.out.as_json or not (sys.stdin.isatty() and sys.stdout.isatty())):
        raise BadRequest("there is no terminal for an editor: give the new text with --file (- for standard input)")
    given = None if file is None else read_text(file)  # what is wrong with it is said before anything is asked

    async def present() -> tuple[DocumentInfo, str]:
        async with invocation.client() as client:
            role = chosen_kdn(client, kdn)
            document = await find_document(role, what)
            blocks = await role.blocks(source=document.source, collection=document.collection)
            texts = [(await role.block(block.kid)).text or "" for block in blocks]
            return document, "\n\n".join(texts)

    document, text = asyncio.run(present())
    edited = _edited(text) if given is None else given
    if edited.strip() == text.strip():
        invocation.out.say(f"{document.source} is as it was.")
        invocation.out.result({"status": "unchanged", "source": document.source})
        return

    async def registered() -> AddedDocument:
        async with invocation.client() as client:
            return await chosen_kdn(client, kdn).add(
                AddDocument(
                    source=document.source,
                    title=document.title,
                    text=edited,
                    version=document.version,
                    collection=document.collection,
                    tags=document.tags,
                )
            )

    done = asyncio.run(registered())
    invocation.out.result(done)
    invocation.out.say(
        f"{done.status} {done.title}: {counted(len(done.added), 'block')} new, {len(done.removed)} gone."
    )
    if done.added:
        invocation.out.say(f"The KV of what changed went with it: `cacheroute knowledge build {what}` makes it anew.")
    for note in done.notes:
        invocation.out.note(note)


def _edited(text: str) -> str:
    """What the operator's editor left of `text`. Raises BadRequest where the editor failed."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or DEFAULT_EDITOR)
    with tempfile.TemporaryDirectory(prefix="cacheroute-") as directory:
        path = Path(directory, "document.md")
        path.write_text(text, encoding="utf-8")
        try:
            code = subprocess.run([*editor, str(path)], check=False).returncode
        except OSError as error:
            raise BadRequest(
                f"the editor {editor[0]!r} cannot be run ({(error.strerror or str(error)).lower()}): set EDITOR"
            ) from error
        if code:
            raise BadRequest(f"the editor {editor[0]!r} ended with {code}: nothing was changed")
        return read_text(str(path))
