"""`cacheroute status`: every process as the stack sees it, every pool and KDN as the scheduler does."""

import asyncio
from typing import Any

import msgspec

from cacheroute.cli.invocation import Invocation
from cacheroute.errors import CacheRouteError
from cacheroute.wire.control import Listing
from stack.conductor import Conductor
from stack.status import ServiceStatus, StackStatus

NOT_READY = 1


def status(invocation: Invocation) -> int | None:
    """Returns 1 where something is not ready."""
    stack = asyncio.run(Conductor(invocation.config.paths.state_dir).status())
    peers, scheduler, why = asyncio.run(_asked(invocation)) if stack.pid is not None else (Listing(), {}, "")
    invocation.out.result(
        {
            "ready": stack.is_ready,
            "supervisor": {"pid": stack.pid, "uptime_s": stack.uptime_s},
            "services": [_service(service) for service in stack.services],
            "kdns": peers.kdns,
            "pools": peers.proxies,
            "scheduler": scheduler,
            "scheduler_error": why,
        }
    )
    _say(invocation, stack, peers, why)
    return None if stack.is_ready else NOT_READY


async def _asked(invocation: Invocation) -> tuple[Listing, dict[str, Any], str]:
    """What the scheduler knows, or why it cannot be asked: the processes are worth showing without it."""
    async with invocation.client() as client:
        try:
            return await client.peers(), await client.status(), ""
        except CacheRouteError as error:
            return Listing(), {}, error.message


def _service(service: ServiceStatus) -> dict[str, Any]:
    return {
        **{name: value for name, value in msgspec.structs.asdict(service).items() if name not in ("ready", "usage")},
        "ready": service.ready.ok if service.ready is not None else False,
        "probe_ms": service.ready.took_ms if service.ready is not None else None,
        "cpu_pct": service.usage.cpu_pct if service.usage is not None else None,
        "rss_bytes": service.usage.rss_bytes if service.usage is not None else None,
    }


def _say(invocation: Invocation, stack: StackStatus, peers: Listing, why: str) -> None:
    out = invocation.out
    if out.as_json:
        return
    if not stack.services:
        out.say("Nothing is running, and nothing ever was: start it with `cacheroute up`.")
        return
    from cacheroute.cli.terminal import state_cell

    out.table(
        ("PROCESS", "STATE", "PID", "UPTIME", "CPU", "MEMORY", "PORT", "WHY"),
        (
            (
                service.name,
                state_cell(service.state),
                service.pid or "",
                _duration(service.uptime_s),
                f"{service.usage.cpu_pct:.0f} %" if service.usage is not None else "",
                f"{service.usage.rss_bytes / 2**20:.0f} MB" if service.usage is not None else "",
                " ".join(str(port) for _, port in service.ports),
                service.why.partition("\n")[0],
            )
            for service in stack.services
        ),
        right=("PID", "UPTIME", "CPU", "MEMORY"),
    )
    if stack.pid is None:
        out.say("\nThe stack is down: start it with `cacheroute up`.")
    elif why:
        out.say(f"\n{why}")
    else:
        _say_peers(invocation, peers)


def _say_peers(invocation: Invocation, peers: Listing) -> None:
    out = invocation.out
    out.say()
    out.table(
        ("POOL", "QUEUED", "IN FLIGHT", "INSTANCES"),
        (
            (
                pool.name,
                pool.queued,
                pool.inflight,
                ", ".join(f"{one.name} ({one.engine.model})" for one in pool.instances) or "none",
            )
            for pool in peers.proxies
        ),
        right=("QUEUED", "IN FLIGHT"),
    )
    out.say()
    out.table(
        ("KDN", "BLOCKS", "ARTIFACTS", "INJECTING"),
        ((kdn.name, kdn.blocks, kdn.artifacts, kdn.load.injecting) for kdn in peers.kdns),
        right=("BLOCKS", "ARTIFACTS", "INJECTING"),
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.0f} h"
