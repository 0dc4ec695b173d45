"""Documents as a command line reads them: from files, folders and standard input, whatever lies there."""

import io
import os

from cacheroute.cli import documents


def _read(*paths, source=None):
    return documents.read([str(path) for path in paths], "default", None, source)


def test_a_link_out_of_a_folder_is_left_out_and_one_within_is_read(tmp_path):
    (tmp_path / "secret.md").write_text("not for everybody")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "own.md").write_text("for everybody")
    (folder / "out.md").symlink_to(tmp_path / "secret.md")
    (folder / "within.md").symlink_to(folder / "own.md")
    found, failures = _read(folder)
    assert {document.text for document in found} == {"for everybody"}
    assert failures == []


def test_a_file_without_end_is_too_large_not_read_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MAX_BYTES", 1000)
    endless = tmp_path / "endless.md"
    endless.symlink_to("/dev/zero")
    found, failures = _read(endless)
    assert found == []
    assert len(failures) == 1


def test_standard_input_that_is_no_text_is_named_as_such(monkeypatch):
    for data in (b"\xff\xfe", b"a\0b", b"", os.urandom(64) + b"\xff"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), errors="surrogateescape"))
        found, failures = _read("-")
        assert found == []
        assert len(failures) == 1


def test_standard_input_is_known_by_its_content_unless_it_is_named(monkeypatch):
    for source in (None, "notes"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("# Größe\n\nx".encode())))
        (document,), _ = _read("-", source=source)
        assert document.title == "Größe"
        assert document.source == source or document.source.startswith("stdin-")
