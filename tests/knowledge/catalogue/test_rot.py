"""A catalogue file in which bytes have changed: every part of the library that meets them says so, by file name."""

from __future__ import annotations

import random
from pathlib import Path

from fakes.hash_embedder import register

from knowledge.archives.archive import written
from knowledge.archives.snapshot import snapshot
from knowledge.catalogue.library import Library
from knowledge.errors import CatalogueError


def use(library: Library) -> None:
    """Everything that reads or writes the file."""
    library.list()
    library.page()
    library.stats()
    library.changes()
    with snapshot(library, None) as (header, documents):
        assert b"".join(written(header, documents))
    register(library, "new", "A text that was not here before.")
    library.delete(library.list()[0].document_id)


def test_whatever_bytes_change_it_is_an_error_that_names_the_file_or_none(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    library = Library(path)
    for number in range(10):
        register(library, f"{number}", " ".join(f"word{number}x{at}" for at in range(300)))
    library.close()
    whole = path.read_bytes()
    chosen = random.Random(5)
    noticed: list[str] = []
    for _ in range(40):
        size = chosen.choice([1, 8, 64, 4096, 20_000])
        at = chosen.randrange(len(whole) - size)
        path.write_bytes(whole[:at] + chosen.randbytes(size) + whole[at + size :])
        try:
            library = Library(path)
            try:
                use(library)
            finally:
                library.close()
        except CatalogueError as error:
            noticed.append(str(error))
        for log in tmp_path.glob("a.db-*"):
            log.unlink()
    assert len(noticed) > 15
    assert {said for said in noticed if str(path) not in said} == set()
