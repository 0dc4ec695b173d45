"""`cacheroute up`: the model made ready, the stack started in order, and where to go from there."""

import asyncio
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cacheroute.address import base_url
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.progress import shown
from cacheroute.cli.terminal import console
from cacheroute.engine.prepare import prepare
from cacheroute.engine.preparing import reporting
from cacheroute.errors import Unavailable
from cacheroute.formation import External, Formation, form
from stack import procfile
from stack.conductor import Conductor, UpReport
from stack.errors import StackError
from stack.plan import Plan
from stack.prober import Prober

PROCFILE = Path(__file__).parents[2] / "Procfile"
"""What runs; beside our packages, as in the source tree."""

KNOWN_AFTER_RENEWALS = 6
"""An instance is known to its proxy, the proxy to the scheduler, the scheduler to the KDNs: a renewal each, doubled."""


def up(invocation: Invocation, only: Sequence[str]) -> None:
    """Raises ConfigError, StackError naming every process that is not ready."""
    report = bring_up(invocation, only)
    invocation.out.result({"ready": True, **_facts(report), "endpoints": endpoints(invocation)})
    say_endpoints(invocation)


def bring_up(invocation: Invocation, only: Sequence[str] = ()) -> UpReport:
    """Everything that `up` does but the last words: harmless where all runs already."""
    formation = form(invocation.config, invocation.tokens, invocation.config_file, os.environ)
    plan = formation.plan(procfile.parse(PROCFILE.read_text(encoding="utf-8")), Path.cwd())
    wanted = [name for name in plan.order() if name in plan.with_needs(only or plan.order())]
    _prepare_models(invocation, wanted)
    report = asyncio.run(_started(invocation, formation, plan, wanted))
    for name in report.outdated:
        invocation.out.note(f"{name} runs by an older configuration; `{stop_command(invocation)}` and `up` change that")
    if report.attached and not report.started:
        invocation.out.say(f"CacheRoute runs already: {len(report.running_before)} processes are ready.")
    else:
        invocation.out.say(f"CacheRoute is up: {len(wanted)} processes are ready after {report.took_s:.1f} s.")
    return report


def endpoints(invocation: Invocation) -> dict[str, str]:
    scheduler = invocation.config.scheduler
    return {
        "openai": base_url(scheduler.host, scheduler.port) + "/v1",
        "control": base_url(scheduler.host, scheduler.control_port),
        "control_token_file": str(invocation.config.paths.state_dir / "control.token"),
        "logs": str(invocation.config.paths.state_dir / "logs"),
        "stop": stop_command(invocation),
    }


def say_endpoints(invocation: Invocation) -> None:
    found = endpoints(invocation)
    invocation.out.say(f"  OpenAI endpoint  {found['openai']}")
    invocation.out.say(f"  control          {found['control']}  (bearer token in {found['control_token_file']})")
    invocation.out.say(f"  logs             {found['logs']}")
    invocation.out.say(f"  stop it with     {found['stop']}")


def stop_command(invocation: Invocation) -> str:
    """What ends this stack, as it can be typed here: a venv need not be active."""
    script = Path(sys.executable).with_name("cacheroute")
    on_path = shutil.which("cacheroute")
    if on_path is not None and Path(on_path).samefile(script):
        name = "cacheroute"
    else:
        name = str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script)
    file = invocation.config_file
    named = ["--config", str(file)] if file is not None and file.parent != Path.cwd() else []
    return shlex.join([name, "down", *named])


def _prepare_models(invocation: Invocation, wanted: Sequence[str]) -> None:
    """Makes ready what the wanted engines load; at once where that was done before. Raises ConfigError."""
    engines = invocation.config.engine
    models = {engines[name].model for name in wanted if name in engines and engines[name].kind == "embedded"}
    screen = console(stderr=True)
    screen.quiet = invocation.out.as_json
    for model in sorted(models):
        with reporting(screen) as report:
            prepare(model, invocation.config.paths.data_dir, report)


async def _started(invocation: Invocation, formation: Formation, plan: Plan, wanted: Sequence[str]) -> UpReport:
    await _check_externals(formation.externals)
    with shown(invocation.out, wanted) as show:
        report = await Conductor(invocation.config.paths.state_dir, show).up(plan, wanted)
    if report.failed:
        raise StackError(*_failures(invocation, report))
    if any(name in invocation.config.instance for name in wanted):
        await _until_served(invocation)
    return report


async def _check_externals(externals: Sequence[External]) -> None:
    """Raises StackError naming every server of somebody else's that does not answer."""
    async with Prober() as prober:
        verdicts = await asyncio.gather(*(prober.check(external.ready) for external in externals))
    if missing := [
        f"{external.name}, which the configuration has at {external.where}, does not answer: {verdict.reason}"
        for external, verdict in zip(externals, verdicts, strict=True)
        if not verdict.ok
    ]:
        raise StackError(*missing)


async def _until_served(invocation: Invocation) -> None:
    """Waits until the leases have gone round: all is ready then, and everybody knows everybody.

    Raises Unavailable if a model is not served, or a KDN sees no instance, after a few renewals.
    """
    deadline_s = time.monotonic() + KNOWN_AFTER_RENEWALS * invocation.config.scheduler.lease_renew_s
    async with invocation.client() as client:
        while not (
            (await client.status())["ready"]
            and all([(await kdn.status())["instances"] for kdn in client.kdns.values()])
        ):
            if time.monotonic() > deadline_s:
                raise Unavailable("all processes are ready, but no model is served: see `cacheroute status`")
            await asyncio.sleep(0.05)


def _facts(report: UpReport) -> dict[str, object]:
    return {
        "attached": report.attached,
        "started": report.started,
        "running_before": report.running_before,
        "took_s": round(report.took_s, 3),
    }


def _failures(invocation: Invocation, report: UpReport) -> list[str]:
    lines: list[str] = []
    for name, why in report.failed.items():
        reason, *said = why.splitlines()
        lines += [f"{name} is not ready: {reason}", *(f"  {line}" for line in said)]
    return [*lines, f"what is ready stays up; logs: {invocation.config.paths.state_dir / 'logs'}"]
