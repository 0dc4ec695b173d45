"""`cacheroute kdn status` and `sync`: the KDNs, each by itself and as one library."""

import asyncio
from collections.abc import Sequence
from typing import Any

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.selection import chosen_kdns
from cacheroute.cli.words import counted
from cacheroute.errors import BadRequest, CacheRouteError
from cacheroute.kdn_client import Kdn
from cacheroute.wire.artifacts import Build
from cacheroute.wire.documents import SyncReport

_FIGURES = ("DOCUMENTS", "BLOCKS", "ARTIFACTS", "PINNED", "KV ON DISK", "INJECTING", "BUILDS")


def status(invocation: Invocation, kdn: str | None) -> int | None:
    """Returns 1 if one of them does not answer."""

    async def asked() -> dict[str, dict[str, Any]]:
        async with invocation.client() as client:
            roles = chosen_kdns(client, kdn)
            told = await asyncio.gather(*map(_asked, roles))
            return {role.name: each for role, each in zip(roles, told, strict=True)}

    kdns, out = asyncio.run(asked()), invocation.out
    out.result({"kdns": kdns})
    if told := {name: each for name, each in kdns.items() if "failure" not in each}:
        out.table(("KDN", *_FIGURES), (_row(name, each) for name, each in told.items()), right=_FIGURES)
    for name, each in kdns.items():
        for remark in _remarks(each):
            out.say(remark if "failure" in each else f"{name}: {remark}")  # a failure names it itself
    return 1 if len(told) < len(kdns) else None


async def _asked(role: Kdn) -> dict[str, Any]:
    """A KDN's status, with its builds that are not over or failed; or `failure`, why there is none."""
    try:
        told = await role.status()
        open_builds = [each for state in ("building", "queued", "failed") for each in await role.builds(state=state)]
    except CacheRouteError as error:
        return {"name": role.name, "failure": error.message}
    return told | {"builds": open_builds}


def _row(name: str, told: dict[str, Any]) -> tuple[object, ...]:
    library, artifacts = told["library"], told["artifacts"]
    stored = f"{artifacts['nbytes'] / 2**20:,.0f} of {artifacts['quota_bytes'] / 2**20:,.0f} MB"
    return (
        name,
        library["documents"],
        library["blocks"],
        artifacts["count"],
        artifacts["pinned"],
        stored,
        told["injecting"],
        sum(build.state != "failed" for build in told["builds"]),
    )


def _remarks(told: dict[str, Any]) -> Sequence[str]:
    """What an operator should know beyond the figures."""
    if "failure" in told:
        return [str(told["failure"])]
    remarks = [] if told["registered"] else [f"not registered with the scheduler: {told['why']}"]
    artifacts = told["artifacts"]
    remarks += [f"WARNING: {warning}" for warning in artifacts["warnings"]]
    if artifacts["blobs"] != "files":
        remarks.append(f"its KV lies in {artifacts['blobs']}")
    remarks += [f"no KV for {name}: {each['no_kv']}" for name, each in told["instances"].items() if each["no_kv"]]
    remarks += [f"not synced with {origin}: {why}" for origin, why in told["not_synced"].items()]
    remarks += _of_builds(told["builds"])
    return remarks + [_of_purge(entry) for entry in told["purges"]]


def _of_builds(builds: Sequence[Build]) -> list[str]:
    queued = [build for build in builds if build.state == "queued"]
    failed = [build for build in builds if build.state == "failed"]
    lines = [f"builds {_kids(build)}" for build in builds if build.state == "building"]
    if queued:
        why = f"; the next, {_kids(queued[0])}, waits: {queued[0].why}" if queued[0].why else ""
        lines.append(f"{counted(len(queued), 'build')} queued{why}")
    if failed:
        lines.append(f"{counted(len(failed), 'build')} failed, the last of {_kids(failed[-1])}: {failed[-1].why}")
    return lines


def _of_purge(entry: dict[str, Any]) -> str:
    place, stage = entry["place"], entry["stage"]
    if entry["why"]:
        return f"deleted knowledge is not yet out of {place} ({counted(entry['attempts'], 'attempt')}): {entry['why']}"
    if stage == "again":
        return f"deleted knowledge is out of {place}; once more later, for requests that had it already"
    return f"deleted knowledge goes out of {place} now"


def _kids(build: Build) -> str:
    return " + ".join(kid[:12] for kid in build.kids)


def sync(invocation: Invocation, kdn: str | None) -> int | None:
    """Each KDN (or the one named) takes over what every other has newer. Returns 1 if one could not."""

    async def synced() -> tuple[dict[str, list[SyncReport]], list[str]]:
        async with invocation.client() as client:
            if len(client.kdns) < 2:
                raise BadRequest("only one KDN is configured: there is nothing to sync")
            chosen = chosen_kdns(client, kdn)
            down = await _those_down(list(client.kdns.values()))
            reports: dict[str, list[SyncReport]] = {role.name: [] for role in chosen}
            failures = list(down.values())
            for role in chosen:
                for origin in client.kdns:
                    if origin == role.name or not down.keys().isdisjoint((origin, role.name)):
                        continue
                    try:
                        reports[role.name].append(await role.sync(origin))
                    except CacheRouteError as error:
                        failures.append(f"{role.name} from {origin}: {error.message}")
            return reports, failures

    (reports, failures), out = asyncio.run(synced()), invocation.out
    out.result({"kdns": reports, "failures": failures})
    rows = [(name, each) for name, told in reports.items() for each in told]
    if rows:
        out.table(
            ("KDN", "FROM", "TAKEN", "DELETED", "KEPT", "TIME"),
            ((name, each.origin, each.taken, each.deleted, each.kept, f"{each.ms:,.0f} ms") for name, each in rows),
            right=("TAKEN", "DELETED", "KEPT", "TIME"),
        )
        out.say("In documents. Kept: its own version is as new, or newer.")
    for failure in failures:
        out.note(failure)
    return 1 if failures else None


async def _those_down(kdns: Sequence[Kdn]) -> dict[str, str]:
    """Who does not answer: nothing is asked of them, and nobody is sent to them."""
    told = await asyncio.gather(*map(_asked, kdns))
    return {kdn.name: str(each["failure"]) for kdn, each in zip(kdns, told, strict=True) if "failure" in each}
