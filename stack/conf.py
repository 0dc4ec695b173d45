"""Writes supervisord's configuration as text. Pure: touches no file and no process.

The format (http://supervisord.org/configuration.html) expands `%`, cuts a line at ` ;` and ` #`, and knows no
escape inside a quoted environment value: what cannot be said in it is refused, never changed.
"""

import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from stack.errors import PlanError
from stack.plan import Plan, Service

_UNSAYABLE = re.compile(r"[\r\n\x00]|\s[;#]|%\(here\)s|^\s|\s$")


def render(plan: Plan, socket: Path, pidfile: Path, logs: Path) -> str:
    """The file for `plan`; nothing starts by itself, what was started is restarted when it dies.

    Raises PlanError for every value that the format cannot carry.
    """
    problems: list[str] = []
    sections = [_daemon(socket, pidfile, logs)]
    for service in plan.services:
        problems += _unsayable(plan, service)
        sections.append(_program(plan, service, logs))
    for path in (plan.directory, str(socket), str(logs)):
        if _UNSAYABLE.search(path):
            problems.append(f"supervisord cannot be told of the path {path!r}")
    if problems:
        raise PlanError(*problems)
    return "\n".join(sections)


def _daemon(socket: Path, pidfile: Path, logs: Path) -> str:
    return f"""\
[unix_http_server]
file={_escaped(str(socket))}
chmod=0700

[supervisord]
pidfile={_escaped(str(pidfile))}
logfile={_escaped(str(logs / "supervisord.log"))}
logfile_maxbytes=1MB
logfile_backups=1
childlogdir={_escaped(str(logs))}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


def _program(plan: Plan, service: Service, logs: Path) -> str:
    return f"""\
[program:{service.name}]
command={_command(plan.argv(service))}
directory={_escaped(plan.directory)}
environment={",".join(_environment(service))}
autostart=false
autorestart=true
startsecs=1
startretries=5
stopsignal=TERM
stopwaitsecs={stop_wait_s(service)}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={_escaped(str(logs / service.name))}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""


def stop_wait_s(service: Service) -> int:
    """The grace in the whole seconds that supervisord counts."""
    return max(1, math.ceil(service.grace_s))


def _command(argv: tuple[str, ...]) -> str:
    # A word with a space is in quotes: closing and reopening them keeps ` ;` from opening a comment.
    return _escaped(re.sub(r"(\s)(?=[;#])", r"\1''", shlex.join(argv)))


def _environment(service: Service) -> Iterator[str]:
    # Without it, a folder where the command runs could shadow an installed package of the same name.
    for name, value in {"PYTHONSAFEPATH": "1", **service.env}.items():
        quote = "'" if '"' in value else '"'
        yield f"{name}={quote}{_escaped(value)}{quote}"


def _unsayable(plan: Plan, service: Service) -> Iterator[str]:
    for word in plan.argv(service):
        if "%(here)s" in word:
            yield f"{service.name}: supervisord would replace %(here)s in the command of line {service.entry!r}"
    for name, value in service.env.items():
        if _UNSAYABLE.search(value) or _quotes_are_lost(value):
            yield f"{service.name}: supervisord cannot be told the value of {name} (quotes, ` ;` or a line end)"


def _quotes_are_lost(value: str) -> bool:
    return ("'" in value and '"' in value) or value != value.strip("'\"")


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
