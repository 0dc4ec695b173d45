"""`cacheroute down`: the stack stopped in reverse order, each process draining first."""

import asyncio
from collections.abc import Sequence

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.progress import shown
from stack.conductor import Conductor
from stack.statedir import StateDir


def down(invocation: Invocation, only: Sequence[str]) -> None:
    """Raises StackError if something does not end."""
    state_dir = invocation.config.paths.state_dir
    plan = StateDir(state_dir).plan()
    with shown(invocation.out, plan.reverse_order() if plan is not None else ()) as show:
        report = asyncio.run(Conductor(state_dir, show).down(only))
    invocation.out.result(report)
    if not report.was_up:
        invocation.out.say("Nothing is running.")
        return
    for name in report.killed:
        invocation.out.note(f"{name} had not ended within its grace and was killed")
    invocation.out.say(f"{len(report.stopped)} processes stopped after {report.took_s:.1f} s.")
