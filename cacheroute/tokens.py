"""The stack's two secrets, made once and kept 0600 in the state directory: the control token and the kv password."""

import os
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from cacheroute.errors import ConfigError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,}")
"""What stands in a header and in a url as it is."""


class Tokens(Struct, frozen=True, kw_only=True):
    control: str
    """Bearer token of every control call and of every hop between roles, on loopback too."""
    kv_password: str
    """Password of the embedded kv stores."""


def ensure(state_dir: Path) -> Tokens:
    """The tokens of this state directory, made if they are not there yet. Safe against two that start at once.

    Raises ConfigError for a file that holds no token: an empty password would leave a kv store open to everybody.
    """
    return Tokens(
        control=_read_or_make(state_dir / "control.token"),
        kv_password=_read_or_make(state_dir / "kv.password"),
    )


def _read_or_make(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, draft = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # 0600
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
        with suppress(FileExistsError):
            os.link(draft, path)  # fails if somebody was first: theirs holds, and it is complete
        os.unlink(draft)
    token = path.read_text(errors="replace").strip()
    if not _TOKEN.fullmatch(token):
        raise ConfigError([f"{path} holds no token: take the stack down and delete it, `up` makes a new one"])
    return token
