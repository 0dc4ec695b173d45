import hashlib
import os
from pathlib import Path

from cacheroute.engine.digests import BLOCK_BYTES, Digests, combined


def unread(done: int, total: int) -> None:
    raise AssertionError("the file was read again")


def test_a_digest_is_the_files_sha256_and_its_reading_is_reported(tmp_path: Path) -> None:
    file, ticks = tmp_path / "weights", list[tuple[int, int]]()
    file.write_bytes(os.urandom(BLOCK_BYTES + 5))
    digest = Digests(None).sha256(file, lambda done, total: ticks.append((done, total)))
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert ticks == [(BLOCK_BYTES, BLOCK_BYTES + 5), (BLOCK_BYTES + 5, BLOCK_BYTES + 5)]


def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    file, memory = tmp_path / "weights", tmp_path / "new" / "digests.json"
    file.write_bytes(b"one")
    first = Digests(memory).sha256(file, lambda done, total: None)
    assert Digests(memory).sha256(file, unread) == first
    file.write_bytes(b"three")
    assert Digests(memory).sha256(file, lambda done, total: None) == hashlib.sha256(b"three").hexdigest()


def test_a_change_that_keeps_the_size_is_seen_by_its_time(tmp_path: Path) -> None:
    file, memory = tmp_path / "weights", tmp_path / "digests.json"
    file.write_bytes(b"one")
    Digests(memory).sha256(file, lambda done, total: None)
    file.write_bytes(b"two")
    os.utime(file, ns=(0, 12345))
    assert Digests(memory).sha256(file, lambda done, total: None) == hashlib.sha256(b"two").hexdigest()


def test_a_broken_memory_only_costs_reading_again(tmp_path: Path) -> None:
    file, memory = tmp_path / "weights", tmp_path / "digests.json"
    file.write_bytes(b"one")
    memory.write_bytes(b"{broken")
    digest = Digests(memory).sha256(file, lambda done, total: None)
    assert Digests(memory).sha256(file, unread) == digest


def test_several_files_have_one_digest_that_minds_names_but_not_order() -> None:
    one = {"a": "1", "b": "2"}
    assert combined(one) == combined(dict(reversed(one.items())))
    assert combined(one) != combined({"a": "2", "b": "1"})
    assert combined({"a": "1"}) == "1"
