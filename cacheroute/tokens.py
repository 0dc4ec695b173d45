"""The stack's two secrets, made once and kept 0600 in the state directory: the control token and the kv password."""

import os
import secrets
from pathlib import Path

from msgspec import Struct


class Tokens(Struct, frozen=True, kw_only=True):
    control: str
    """Bearer token of every control call and of every hop between roles, on loopback too."""
    kv_password: str
    """Password of the embedded kv stores."""


def ensure(state_dir: Path) -> Tokens:
    """The tokens of this state directory, made if they are not there yet. Safe against two that start at once."""
    return Tokens(
        control=_read_or_make(state_dir / "control.token"),
        kv_password=_read_or_make(state_dir / "kv.password"),
    )


def _read_or_make(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32))
    try:
        os.link(draft, path)  # fails if somebody was first: theirs holds, and it is complete
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
