"""`cacheroute`: the verb table as a command line, and the one place where an error becomes words and an exit code.

0 done, 1 it failed (one line a problem), 2 wrong usage, 130 interrupted. Imports nothing that a verb needs.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

import typer
from typer.core import TyperGroup

from cacheroute.cli.binding import command
from cacheroute.cli.output import Output
from cacheroute.cli.words import problems_of
from cacheroute.verb import PANELS
from cacheroute.verbs import GROUPS, ROLES, VERBS

HANDLERS: Mapping[str, str] = MappingProxyType(
    {
        "up": "cacheroute.cli.up:up",
        "down": "cacheroute.cli.down:down",
        "status": "cacheroute.cli.status:status",
        "run": "cacheroute.cli.run:run",
        "ask": "cacheroute.cli.ask:ask",
        "demo": "cacheroute.cli.bench:demo",
        "bench": "cacheroute.cli.bench:bench",
        "knowledge add": "cacheroute.cli.registration:add",
        "knowledge list": "cacheroute.cli.catalogue:listing",
        "knowledge show": "cacheroute.cli.catalogue:show",
        "knowledge search": "cacheroute.cli.catalogue:search",
        "knowledge why": "cacheroute.cli.why:why",
        "knowledge edit": "cacheroute.cli.edit:edit",
        "knowledge build": "cacheroute.cli.builds:build",
        "knowledge verify": "cacheroute.cli.artifacts:verify",
        "knowledge pin": "cacheroute.cli.artifacts:pin",
        "knowledge evict": "cacheroute.cli.removal:evict",
        "knowledge delete": "cacheroute.cli.removal:delete",
        "knowledge calibrate": "cacheroute.cli.calibration:calibrate",
        "knowledge export": "cacheroute.cli.archive:export",
        "knowledge import": "cacheroute.cli.archive:take_in",
        "kdn status": "cacheroute.cli.kdns:status",
        "kdn sync": "cacheroute.cli.kdns:sync",
        "kdn advise": "cacheroute.cli.advice:advise",
        **{f"serve {role}": "cacheroute.cli.roles:serve" for role in ROLES},
    }
)
"""What does each verb."""

_INTERRUPTED = 130


class _AsInTheTable(TyperGroup):
    """Lists verbs in the table's order, groups among them."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        order = list(dict.fromkeys(verb.words[0] for verb in VERBS))
        return sorted(super().list_commands(ctx), key=order.index)


def app() -> typer.Typer:
    """The command line, made from the verb table."""
    root = typer.Typer(
        name="cacheroute",
        cls=_AsInTheTable,
        help="Routes LLM requests that need knowledge, as text or as KV cache, whichever is faster now.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    groups: dict[str, typer.Typer] = {}
    for verb in VERBS:
        *group, word = verb.words
        panel = PANELS[verb.panel]
        parent = root
        if group:
            parent = groups.get(group[0]) or typer.Typer(no_args_is_help=True)
            if group[0] not in groups:
                groups[group[0]] = parent
                root.add_typer(parent, name=group[0], help=GROUPS[group[0]], rich_help_panel=panel)
        parent.command(word, help=verb.help, rich_help_panel=None if group else panel)(
            command(verb, HANDLERS[verb.name])
        )
    return root


def run(arguments: Sequence[str]) -> int:
    """Carries out one command line; returns the exit code. Nothing that a user can get wrong shows a traceback."""
    out = Output(as_json="--json" in arguments)
    try:
        code = app()(list(arguments), prog_name="cacheroute", standalone_mode=False)
    except typer.TyperException as error:
        return _misused(error, out)
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: the flush at exit is quiet
        return 1
    except (ExceptionGroup, *_expected()) as error:
        if isinstance(error, ExceptionGroup) and error.split(_expected())[1] is not None:
            raise
        kind, code = getattr(error, "kind", "server_error"), getattr(error, "error_code", "failed")
        out.error(problems_of(error), kind=kind, code=code)
        return 1
    return code if isinstance(code, int) else 0


def main() -> NoReturn:
    sys.exit(run(sys.argv[1:]))


def _misused(error: typer.TyperException, out: Output) -> int:
    if out.as_json:
        out.error([error.format_message()], kind="invalid_request_error", code="usage")
    else:
        from typer.rich_utils import rich_format_error

        rich_format_error(error)  # pyright: ignore[reportArgumentType]
    return error.exit_code


def _expected() -> tuple[type[Exception], ...]:
    """Errors that are somebody's, not a defect of ours. Imported only once something went wrong."""
    from cacheroute.errors import CacheRouteError
    from knowledge.errors import KnowledgeError
    from stack.errors import StackError

    return CacheRouteError, StackError, KnowledgeError, OSError
