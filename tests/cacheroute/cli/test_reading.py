from pathlib import Path

import pytest

from cacheroute.cli import reading
from cacheroute.cli.reading import read_text
from cacheroute.errors import BadRequest


def test_a_file_is_read_as_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("café", encoding="utf-8")
    assert read_text(str(tmp_path / "a.md")) == "café"


def test_what_is_not_utf8_is_named_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"caf\xe9")
    with pytest.raises(BadRequest, match=r"a\.md: not UTF-8 \(at byte 3\)"):
        read_text(str(tmp_path / "a.md"))


def test_no_more_is_read_than_a_text_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 8)
    (tmp_path / "a.md").write_text("123456789")
    with pytest.raises(BadRequest, match="more than"):
        read_text(str(tmp_path / "a.md"))
