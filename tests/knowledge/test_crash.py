"""A writer that is killed loses nothing that it has acknowledged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.hash_embedder import register

import knowledge
from knowledge.archives.archive import written
from knowledge.archives.snapshot import snapshot
from knowledge.catalogue.library import Library
from knowledge.document import document_id
from knowledge.text import kid_of

WRITER = """
import sys
from pathlib import Path
from fakes.hash_embedder import register
from knowledge.catalogue.library import Library

library = Library(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    register(library, f"{number}", f"document {number}\\n\\n" + "with some words " * 40)
    register(library, "again", f"version {number}")
    print(number, flush=True)
    number += 1
"""

IMPORTER = """
import sys
from pathlib import Path
from knowledge.archives.archive import Reader
from knowledge.catalogue.library import Library

library = Library(Path(sys.argv[1]))
reader = Reader(2**30)
for item in reader.feed(Path(sys.argv[2]).read_bytes()):
    print(library.register(item.draft, item.vectors).status, item.draft.document.source, flush=True)
reader.end()
print("end", flush=True)
while True:
    pass
"""

TAKER = """
import sys
from pathlib import Path
from fakes.hash_embedder import register
from knowledge.catalogue.library import Library
from knowledge.replication.versions import Assembly, Version

theirs, mine = Library(Path(sys.argv[1] + ".theirs")), Library(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    text = [f"version {number} part {part} " + "of many " * 400 for part in range(4)]
    done = register(theirs, "a", "\\n\\n".join(text))
    if number % 5 == 4:
        theirs.delete(done.document_id)
    for news in Assembly().feed(theirs.changes().items):
        if isinstance(news, Version):
            mine.register(news.draft, news.vectors, news.stamp)
        else:
            mine.delete_told(news.document_id, news.kids, news.deleted_ms)
    print(number, flush=True)
    number += 1
"""


def killed_after(lines: int, program: str, *arguments: str) -> list[str]:
    """What a Python program printed, in whole lines, until it was killed some time after so many."""
    paths = [str(Path(__file__).parents[1]), str(Path(knowledge.__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    with process.stdout:
        printed = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        printed += process.stdout.readlines()
    assert process.wait() == -signal.SIGKILL
    return [line.rstrip("\n") for line in printed if line.endswith("\n")]


def check_whole(library: Library) -> None:
    """No table says anything that another does not."""
    with library.shelf.read() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []

        def count(rows: str) -> int:
            return connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0]

        assert count("passages") == count("passage_fts WHERE rowid > 0") == len(library.shelf.vectors)
        assert count("blocks") == count("(SELECT DISTINCT block FROM sketches)")
        assert count("documents") == count("(SELECT DISTINCT document_id FROM blocks)")
        for row in connection.execute("SELECT text, kid FROM blocks"):
            assert kid_of(row["text"]) == row["kid"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_every_acknowledged_document_is_there_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    acknowledged: list[int] = []
    for lines in (3, 8, 15):
        start = str(acknowledged[-1] + 1 if acknowledged else 0)
        acknowledged += map(int, killed_after(lines, WRITER, str(path), start))

        library = Library(path)
        stored = {record.source for record in library.list(limit=10_000)}
        assert {str(number) for number in acknowledged} <= stored
        record, [block] = library.show(document_id("default", "again"))
        assert int(block.text.removeprefix("version ")) >= acknowledged[-1]
        assert record.revision > acknowledged[-1]
        check_whole(library)
        near = register(library, "near", f"Document {acknowledged[-1]}\n\n" + "With Some Words " * 40)
        assert near.near_duplicates
        library.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_an_import_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    file, path = tmp_path / "export", tmp_path / "library.db"
    library = Library(tmp_path / "origin.db")
    for number in range(30):
        register(library, f"{number:02}", f"document {number}\n\n" + "with some words " * 40)
    with snapshot(library, None) as (header, documents):
        file.write_bytes(b"".join(written(header, documents)))
    blocks = library.page()
    library.close()

    acknowledged: set[str] = set()
    for lines in (4, 12, 31):
        printed = killed_after(lines, IMPORTER, str(path), str(file))
        status = dict(reversed(line.split()) for line in printed if line != "end")
        assert {status[source] for source in acknowledged & status.keys()} <= {"unchanged"}
        acknowledged |= status.keys()
        library = Library(path)
        assert acknowledged <= {record.source for record in library.list()}
        check_whole(library)
        library.close()
    assert printed[-1] == "end"
    library = Library(path)
    assert library.page() == blocks
    assert {record.revision for record in library.list()} == {1}
    library.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_what_is_taken_over_from_another_is_old_or_new_after_kill_9_and_never_half(tmp_path: Path) -> None:
    path, number = tmp_path / "library.db", 0
    for lines in (2, 6):
        done = int(killed_after(lines, TAKER, str(path), str(number))[-1])
        library = Library(path)
        blocks = library.page()
        if blocks:
            versions = {int(block.text.split()[1]) for block in blocks}
            assert versions <= {done, done + 1}
            assert len(versions) == 1
            parts = {int(block.text.partition(" part ")[2].split()[0]) for block in blocks}
            assert parts == {0, 1, 2, 3}
        else:
            assert 4 in {done % 5, (done + 1) % 5}
        check_whole(library)
        library.close()
        number = done + 2
