from pathlib import Path

import pytest

from cacheroute.durable import replace_file


def test_a_file_is_replaced_whole_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "kept.json"
    replace_file(path, b"old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_where_it_cannot_be_replaced_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "full").touch()
    with pytest.raises(OSError):  # noqa: PT011 which one is the system's business
        replace_file(tmp_path / "kept", b"data")
    assert [each.name for each in tmp_path.iterdir()] == ["kept"]
