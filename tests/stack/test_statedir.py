"""State directories: private, short enough for a socket, and not fooled by a pid that came round again."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stack import StackBusy, StackError
from stack.statedir import Record, StateDir, write_private


def test_what_holds_secrets_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.prepare()
    write_private(state.conf, b"secret")
    write_private(state.conf, b"newer")
    assert state.conf.read_bytes() == b"newer"
    assert state.conf.stat().st_mode & 0o777 == 0o600
    assert state.root.stat().st_mode & 0o777 == state.logs.stat().st_mode & 0o777 == 0o700


def test_a_long_directory_gets_a_short_private_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    one, two = (StateDir(tmp_path / ("long" * 25) / name) for name in ("one", "two"))
    for state in (one, two):
        state.prepare()
    try:
        assert one.socket() != two.socket()
        assert len(bytes(one.socket())) + len(f".{2**22}") <= 107
        assert one.socket().parent.stat().st_mode & 0o777 == 0o700
        one.socket().parent.chmod(0o755)
        with pytest.raises(StackError, match="not a directory of this user alone"):
            one.prepare()
    finally:
        for state in (one, two):
            state.forget()
    assert not one.socket().parent.exists()


def test_a_record_knows_its_own_process_only() -> None:
    me = Record.of(os.getpid(), time.monotonic(), Path("s"))
    assert me.is_alive()
    assert not Record(me.pid, me.pid_started_s - 60, me.origin_s, me.socket).is_alive()


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        record = Record.of(child.pid, 0.0, Path("s"))
        assert record.is_alive()
        child.kill()
        process = psutil.Process(child.pid)
        deadline = time.monotonic() + 10
        while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not record.is_alive()


@pytest.mark.parametrize("rubbish", ["", "{", '{"pid": "x"}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, rubbish: str) -> None:
    state = StateDir(tmp_path)
    (tmp_path / "stack.json").write_text(rubbish)
    (tmp_path / "plan.json").write_text(rubbish)
    assert state.record() is None
    assert state.plan() is None


def test_one_holds_the_lock_and_the_other_is_told_who(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    with state.lock(), pytest.raises(StackBusy, match=f"pid {os.getpid()} "):
        StateDir(tmp_path).lock()
    state.lock().close()
