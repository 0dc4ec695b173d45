"""Where one stack keeps what it must remember: paths, the record of its supervisord, the plan, the lock.

    supervisord.conf  plan.json  stack.json     0600: environments hold secrets
    events.jsonl  logs/  up.lock  supervisord.pid  supervisord.sock

Several stacks on one machine are several state directories. All methods block (small files).
"""

import fcntl
import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

import msgspec
import psutil
from msgspec import Struct

from stack.errors import StackBusy, StackError
from stack.plan import Plan

# unix(7) ends a path at 107 bytes, and supervisord binds `<path>.<its pid>` before it renames.
_LONGEST_SOCKET_PATH = 107 - len(".4194304")
# Two readings of one process's start differ by what the clock was set by meanwhile.
_START_TOLERANCE_S = 2.0

_Value = TypeVar("_Value")


class Record(Struct, frozen=True):
    """Which supervisord is ours: a pid alone could be somebody else's by now."""

    pid: int
    pid_started_s: float
    """Seconds since the epoch, as the system says."""
    origin_s: float
    """time.monotonic() at the first `up`."""
    socket: str

    @classmethod
    def of(cls, pid: int, origin_s: float, socket: Path) -> "Record":
        """Raises StackError if that process is no more."""
        try:
            return cls(pid, psutil.Process(pid).create_time(), origin_s, str(socket))
        except psutil.NoSuchProcess:
            raise StackError(f"supervisord, pid {pid}, ended as soon as it had started") from None

    def is_alive(self) -> bool:
        """Whether that very process still runs (a zombie does not)."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.pid_started_s) < _START_TOLERANCE_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class StateDir:
    """The files of one stack."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.conf = self.root / "supervisord.conf"
        self.pidfile = self.root / "supervisord.pid"
        self.logs = self.root / "logs"
        self.journal = self.root / "events.jsonl"
        self._plan = self.root / "plan.json"
        self._record = self.root / "stack.json"
        self._lock = self.root / "up.lock"

    def prepare(self) -> None:
        """Makes the directories. Raises StackError if somebody else made one of them."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs.mkdir(mode=0o700, exist_ok=True)
        if (elsewhere := self.socket().parent) != self.root:
            _private_directory(elsewhere)

    def log(self, service: str) -> Path:
        return self.logs / f"{service}.log"

    def socket(self) -> Path:
        """Where supervisord listens, or is to listen: here, or, where this path is too long, in a short
        directory of this user's. Raises StackError if there is no place for one."""
        if (record := self.record()) is not None:
            return Path(record.socket)
        here = self.root / "supervisord.sock"
        if _fits(here):
            return here
        name = f"stack-{os.getuid()}-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]}"
        for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
            if base and os.path.isdir(base) and _fits(short := Path(base, name, "s")):
                return short
        raise StackError(f"no directory is short enough for a socket; tried {here}, XDG_RUNTIME_DIR and /tmp")

    def record(self) -> Record | None:
        return _decoded(self._record, Record)

    def write_record(self, record: Record) -> None:
        write_private(self._record, msgspec.json.encode(record))

    def plan(self) -> Plan | None:
        """The plan that is up, or was last; None if there is none that can be read."""
        return _decoded(self._plan, Plan)

    def write_plan(self, plan: Plan) -> None:
        write_private(self._plan, msgspec.json.encode(plan))

    def forget(self) -> None:
        """Removes what only a living supervisord gives a meaning to; logs, plan and events stay."""
        socket = self.socket()
        for path in (socket, self.pidfile, self._record):
            path.unlink(missing_ok=True)
        if socket.parent != self.root:
            with suppress(FileNotFoundError):
                socket.parent.rmdir()

    def lock(self) -> IO[str]:
        """The right to change this stack, held until it is closed or its process ends, however that ends.

        Raises StackBusy, naming the holder, instead of waiting.
        """
        file = self._lock.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                file.seek(0)
                holder = file.read().strip() or "unknown"
            raise StackBusy(f"pid {holder} is changing the stack in {self.root}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file


def write_private(path: Path, content: bytes) -> None:
    """Replaces a file at once, readable by its owner only."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH


def _private_directory(path: Path) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StackError(f"{path} is not a directory of this user alone")


def _decoded(path: Path, kind: type[_Value]) -> _Value | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
