"""`cacheroute kdn status`, `sync` and `advise`: the KDNs, each by itself and as one library."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from cacheroute.cli.artifacts import build_sets
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.selection import chosen_kdns
from cacheroute.errors import BadRequest, CacheRouteError
from cacheroute.wire.artifacts import Advice
from cacheroute.wire.documents import SyncReport


def status(invocation: Invocation, kdn: str | None) -> int | None:
    """Returns 1 if one of them does not answer."""

    async def asked() -> dict[str, dict[str, Any]]:
        async with invocation.client() as client:
            found: dict[str, dict[str, Any]] = {}
            for role in chosen_kdns(client, kdn):
                try:
                    found[role.name] = await role.status()
                except CacheRouteError as error:
                    found[role.name] = {"name": role.name, "failure": error.message}
            return found

    kdns, out = asyncio.run(asked()), invocation.out
    out.result({"kdns": kdns})
    out.table(
        ("KDN", "DOCUMENTS", "BLOCKS", "ARTIFACTS", "PINNED", "MB", "OF MB", "INJECTING", "BUILDING"),
        (_row(name, each) for name, each in kdns.items() if "failure" not in each),
        right=("DOCUMENTS", "BLOCKS", "ARTIFACTS", "PINNED", "MB", "OF MB", "INJECTING", "BUILDING"),
    )
    for name, each in kdns.items():
        for remark in _remarks(each):
            out.say(f"{name}: {remark}")
    return 1 if any("failure" in each for each in kdns.values()) else None


def _row(name: str, told: Mapping[str, Any]) -> tuple[object, ...]:
    library, artifacts = told["library"], told["artifacts"]
    return (
        name,
        library["documents"],
        library["blocks"],
        artifacts["count"],
        artifacts["pinned"],
        f"{artifacts['nbytes'] / 2**20:.0f}",
        f"{artifacts['quota_bytes'] / 2**20:.0f}",
        told["injecting"],
        told["building"],
    )


def _remarks(told: Mapping[str, Any]) -> Sequence[str]:
    """What an operator should know beyond the figures."""
    if "failure" in told:
        return [str(told["failure"])]
    remarks = [] if told["registered"] else [f"not registered with the scheduler: {told['why']}"]
    refused = {name: each["no_kv"] for name, each in told["instances"].items() if each["no_kv"]}
    return [*remarks, *(f"no KV for {name}: {why}" for name, why in refused.items())]


def sync(invocation: Invocation, kdn: str | None) -> int | None:
    """Each KDN (or the one named) takes over what every other has newer. Returns 1 if one could not."""

    async def synced() -> tuple[dict[str, list[SyncReport]], list[str]]:
        async with invocation.client() as client:
            if len(client.kdns) < 2:
                raise BadRequest("only one KDN is configured: there is nothing to sync")
            reports: dict[str, list[SyncReport]] = {}
            failures: list[str] = []
            for role in chosen_kdns(client, kdn):
                reports[role.name] = []
                for origin in client.kdns:
                    if origin == role.name:
                        continue
                    try:
                        reports[role.name].append(await role.sync(origin))
                    except CacheRouteError as error:
                        failures.append(f"{role.name} from {origin}: {error.message}")
            return reports, failures

    (reports, failures), out = asyncio.run(synced()), invocation.out
    out.result({"kdns": reports, "failures": failures})
    out.table(
        ("KDN", "FROM", "TAKEN", "DELETED", "KEPT", "MS"),
        (
            (name, each.origin, each.taken, each.deleted, each.kept, f"{each.ms:.0f}")
            for name, told in reports.items()
            for each in told
        ),
        right=("TAKEN", "DELETED", "KEPT", "MS"),
    )
    for failure in failures:
        out.note(failure)
    return 1 if failures else None


def advise(invocation: Invocation, top: int, build: int, kdn: str | None) -> None:
    """What to build next by requests x tokens saved; with `build`, the best so many are queued and followed."""

    async def asked() -> dict[str, tuple[Advice, ...]]:
        async with invocation.client() as client:
            roles = chosen_kdns(client, kdn)
            advice = {role.name: await role.advice(max(top, build)) for role in roles}
            for role in roles if build else ():
                for each in advice[role.name][:build]:
                    await build_sets(invocation.out, role, [each.kids], each.rendering)
            return advice

    advice, out = asyncio.run(asked()), invocation.out
    out.result({"kdns": advice})
    rows = [(name, each) for name, told in advice.items() for each in told[:top]]
    if not rows:
        out.say("Nothing to advise: every wish for KV since the start was met, or there was none.")
        return
    out.table(
        ("KDN", "BLOCKS", "RENDERING", "REQUESTS", "TOKENS", "MISSING", "GAIN"),
        (
            (
                name,
                ", ".join(kid[:12] for kid in each.kids),
                each.rendering,
                each.requests,
                each.tokens,
                each.missing_tokens,
                each.gain,
            )
            for name, each in rows
        ),
        right=("REQUESTS", "TOKENS", "MISSING", "GAIN"),
    )
    out.say("Gain: requests x tokens that they had to compute. `cacheroute kdn advise --build N` builds the best N.")
