"""Views -> lines of text, cut to the width of the screen. Pure; all that is foreign is cleaned here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from cacheroute.sanitise import for_line
from console.cells import Column, header, row

if TYPE_CHECKING:
    from cacheroute.wire.control import KdnRecord, ProxyRecord
    from cacheroute.wire.decision import RequestTrace
    from console.views import StackView, TrafficView
    from stack.status import ServiceStatus

STALE_S = 3.0
"""A view older than that is called stale."""

_STACK = (Column("PROCESS", 14), Column("STATE", 11), Column("CPU", 5, True), Column("MEM", 6, True),
          Column("PORT", 6, True), Column("WHY", 0))  # fmt: skip
_POOLS = (Column("POOL", 14), Column("INSTANCE", 14), Column("QUEUED", 6, True), Column("RUNNING", 7, True),
          Column("SERVED", 6, True), Column("ENGINE", 0))  # fmt: skip
_KDNS = (Column("KDN", 14), Column("BLOCKS", 14, True), Column("WITH KV", 8, True), Column("INJECTING", 9, True),
         Column("", 0))  # fmt: skip
_REQUESTS = (Column("AT (UTC)", 8), Column("STATUS", 6, True), Column("TTFT", 8, True), Column("MODE", 4),
             Column("KNOW", 4, True), Column("INSTANCE", 12), Column("WHY", 0))  # fmt: skip
_MIB = 2**20


def head_line(
    stack: StackView | None, traffic: TrafficView | None, now_s: float, width: int, *, paused: bool = False
) -> Content:
    """What the whole is like, and how old the oldest news on the screen is."""
    if stack is None:
        return _bar("CacheRoute   asking the stack …", width)
    if stack.status is None:
        word = "UNKNOWN"
    elif stack.status.pid is None:
        word = "DOWN"
    else:
        word = "READY" if stack.status.is_ready else "NOT READY"
    services = stack.status.services if stack.status is not None else ()
    count = f"{sum(service.state.value == 'READY' for service in services)}/{len(services)} processes"
    age_s = now_s - min(view.taken_s for view in (stack, traffic) if view is not None)
    news = "paused" if paused else f"stale {age_s:.0f} s" if age_s > STALE_S else "live"
    return _bar(f"CacheRoute   {word}   {count}   {news}", width)


def stack_lines(view: StackView | None, width: int) -> list[Content]:
    """A line for each process, in start order."""
    if view is None:
        return [header(_STACK, width)]
    if view.status is None:
        return [header(_STACK, width), _remark(view.why, width)]
    if not view.status.services:
        return [header(_STACK, width), _remark("nothing was started yet: `cacheroute up`", width)]
    return [header(_STACK, width), *(_service(service, width) for service in view.status.services)]


def traffic_lines(view: TrafficView | None, width: int) -> list[Content]:
    """Pools with their instances, then KDNs."""
    if view is None or view.peers is None:
        return [header(_POOLS, width), *([_remark(view.why, width)] if view is not None else [])]
    return [
        header(_POOLS, width),
        *(line for pool in view.peers.proxies for line in _pool(pool, width)),
        header(_KDNS, width),
        *(_kdn(kdn, width) for kdn in view.peers.kdns),
    ]


def request_lines(view: TrafficView | None, width: int) -> list[Content]:
    """The last decisions, newest first."""
    if view is None or not view.requests:
        return [header(_REQUESTS, width), _remark("no request yet: `cacheroute ask QUESTION`", width)]
    return [header(_REQUESTS, width), *(_request(request, width) for request in view.requests)]


def joined(lines: Iterable[Content]) -> Content:
    return Content("\n").join(lines)


def _service(service: ServiceStatus, width: int) -> Content:
    from cacheroute.glyphs import LOOKS

    look = LOOKS[service.state]
    usage = service.usage
    return row(
        _STACK,
        (
            service.name,
            (f"{look.glyph} {service.state.value}", look.style),
            f"{usage.cpu_pct:.0f}%" if usage is not None else "",
            f"{usage.rss_bytes / _MIB:.0f}M" if usage is not None else "",
            str(service.ports[0][1]) if service.ports else "",
            service.why.partition("\n")[0],
        ),
        width,
    )


def _pool(pool: ProxyRecord, width: int) -> list[Content]:
    if not pool.instances:
        return [row(_POOLS, (pool.name, "none", str(pool.queued), str(pool.inflight), "", ""), width)]
    lines: list[Content] = []
    for number, instance in enumerate(pool.instances):
        engine = f"{instance.engine.model} ({instance.engine.kind})" + (f"; {instance.why}" if instance.why else "")
        lines.append(
            row(
                _POOLS,
                (
                    pool.name if number == 0 else "",
                    instance.name,
                    str(pool.queued) if number == 0 else "",
                    str(instance.load.inflight),
                    str(instance.load.served),
                    engine,
                ),
                width,
            )
        )
    return lines


def _kdn(kdn: KdnRecord, width: int) -> Content:
    return row(_KDNS, (kdn.name, str(kdn.blocks), str(kdn.artifacts), str(kdn.load.injecting), ""), width)


def _request(request: RequestTrace, width: int) -> Content:
    failed = request.status >= 400
    return row(
        _REQUESTS,
        (
            request.started_at[11:19],
            (str(request.status), "red" if failed else "green") if request.status else ("…", "dim"),
            f"{request.ttft_ms:.0f} ms" if request.ttft_ms is not None else "",
            request.injection,
            str(len(request.knowledge)),
            request.instance,
            request.error or request.reason or request.retrieval,
        ),
        width,
    )


def _remark(text: str, width: int) -> Content:
    return Content.styled(for_line(text, max(1, width)), "dim")


def _bar(text: str, width: int) -> Content:
    return row((Column("", 0),), (text,), width).stylize("bold reverse")


def fitted(lines: Sequence[Content], height: int) -> list[Content]:
    """As many lines as there is room for; the last one says how many are missing."""
    if len(lines) <= height or height < 2:
        return list(lines[:height])
    hidden = len(lines) - height + 1
    return [*lines[: height - 1], Content.styled(f"… {hidden} more", "dim")]
