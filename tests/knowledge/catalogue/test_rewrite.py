"""That deleted words leave the file: SQLite's own overwriting forgets what it copied while it moved rows."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from fakes.hash_embedder import register

from knowledge.catalogue.library import Library

MARK = re.compile(rb"zq\d{6}")


def marks(directory: Path) -> set[str]:
    return {mark.decode() for file in directory.iterdir() for mark in MARK.findall(file.read_bytes())}


@pytest.fixture
def library(tmp_path: Path):
    library = Library(tmp_path / "library.sqlite")
    yield library
    library.close()


def replaced_often(library: Library, times: int) -> set[str]:
    """Documents replaced again and again, each version with a mark of its own; the marks that stand in the end."""
    rng, standing = random.Random(3), {}
    for number in range(times):
        source, mark = f"s{rng.randrange(12)}", f"zq{number:06d}"
        paragraphs = (
            f"{mark} " + " ".join(rng.choices(["abc", "valve", "tundra"], k=rng.randint(6, 20))) for _ in "ab"
        )
        register(library, source, "\n\n".join(paragraphs))
        standing[source] = mark
    return set(standing.values())


def test_a_rewritten_file_holds_no_word_that_no_row_holds(library: Library, tmp_path: Path) -> None:
    standing = replaced_often(library, 120)
    library.shelf.scrub()
    assert library.shelf.rewrite()
    assert marks(tmp_path) == standing
    assert library.stats().documents == len(standing)


def test_a_file_is_rewritten_only_after_a_deletion(library: Library) -> None:
    register(library, "a", "one text")
    assert not library.shelf.rewrite()
    register(library, "a", "another text")
    assert library.shelf.rewrite()
    assert not library.shelf.rewrite()


def test_what_a_crash_left_is_rewritten_at_the_next_start(tmp_path: Path) -> None:
    library = Library(tmp_path / "library.sqlite")
    standing = replaced_often(library, 40)
    library.close()
    again = Library(tmp_path / "library.sqlite")
    assert not again.shelf.rewrite()
    again.close()
    assert marks(tmp_path) == standing
