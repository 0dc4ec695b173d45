"""Documents as a command line finds and reads them: files, folders and standard input, whatever lies there."""

import io
from pathlib import Path

import pytest

from cacheroute.cli import documents
from cacheroute.cli.documents import File, find, read, samples
from knowledge.parse import Given


def names(*paths: Path) -> list[str]:
    return [file.path.name for file in find([str(path) for path in paths]).files if file.path is not None]


def test_a_link_out_of_a_folder_is_left_out_and_one_within_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("not for everybody")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "own.md").write_text("for everybody")
    (folder / "out.md").symlink_to(tmp_path / "secret.md")
    (folder / "up").symlink_to(tmp_path)
    (folder / "within.md").symlink_to(folder / "own.md")
    assert names(folder) == ["own.md", "within.md"]


def test_a_folder_gives_what_has_a_known_format_and_counts_the_rest(tmp_path: Path) -> None:
    for name in ("a.md", "b.rst.txt", "c.PDF", "d.png", "e", ".hidden.md"):
        (tmp_path / name).write_text("x")
    listing = find([str(tmp_path)])
    assert names(tmp_path) == ["a.md", "b.rst.txt", "c.PDF"]
    assert listing.passed_over == 2


def test_what_is_not_there_is_a_failure_and_the_rest_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    (tmp_path / "empty").mkdir()
    listing = find([str(tmp_path / "a.md"), str(tmp_path / "empty"), str(tmp_path / "a.md")])
    assert [file.path for file in listing.files] == [tmp_path / "a.md"]
    (failure,) = listing.failures
    assert "holds nothing to register" in failure


def test_a_file_without_end_is_read_no_further_than_any_may_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_FILE_BYTES", 1000)
    endless = tmp_path / "endless.md"
    endless.symlink_to("/dev/zero")
    assert len(read(File(endless), Given()).data) == 1001


def test_a_files_source_is_where_it_is_unless_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "folder" / ".." / "a.md"
    (tmp_path / "a.md").write_text("x")
    (tmp_path / "folder").mkdir()
    assert read(File(file), Given()).given.source == (tmp_path / "a.md").as_posix()
    assert read(File(file), Given(source="notes")).given.source == "notes"


@pytest.mark.parametrize("source", [None, "notes"])
def test_standard_input_is_known_by_its_content_unless_it_is_named(
    source: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"# x")))
    (file,) = find(["-"]).files
    content = read(file, Given(source=source))
    assert content.data == b"# x"
    assert content.name.endswith(".md")
    assert content.given.source is not None
    assert content.given.source == source or content.given.source.startswith("stdin-")


def test_the_samples_are_documents() -> None:
    assert all(document.text and document.title for document in samples())
