"""A writer that is killed loses nothing that it has acknowledged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import knowledge
from knowledge.document import document_id
from knowledge.library import Library

WRITER = """
import sys
from pathlib import Path
from fakes.hash_embedder import register
from knowledge.library import Library

library = Library(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    register(library, f"{number}", f"document {number}\\n\\n" + "with some words " * 40)
    register(library, "again", f"version {number}")
    print(number, flush=True)
    number += 1
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_every_acknowledged_document_is_there_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    paths = [str(Path(__file__).parents[1]), str(Path(knowledge.__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    acknowledged: list[int] = []
    for wait_for in (3, 8, 15):
        start = str(acknowledged[-1] + 1 if acknowledged else 0)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), start], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert writer.stdout is not None
        with writer.stdout:
            lines = [writer.stdout.readline() for _ in range(wait_for)]
            writer.kill()
            lines += writer.stdout.readlines()
        assert writer.wait() == -signal.SIGKILL
        acknowledged += [int(line) for line in lines if line.endswith("\n")]

        library = Library(path)
        stored = {record.source for record in library.list(limit=10_000)}
        assert {str(number) for number in acknowledged} <= stored
        record, [block] = library.show(document_id("default", "again"))
        assert int(block.text.removeprefix("version ")) >= acknowledged[-1]
        assert record.revision > acknowledged[-1]
        with library.shelf.read() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            passages = connection.execute("SELECT count(*) FROM passages").fetchone()[0]
            searchable = connection.execute("SELECT count(*) FROM passage_fts WHERE rowid > 0").fetchone()[0]
        assert passages == searchable == len(library.shelf.vectors) == 2 * len(stored) - 1
        library.close()
