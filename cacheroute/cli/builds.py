"""`cacheroute knowledge build`: the KV of knowledge made, by way of a KDN's build queue."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.output import Output
from cacheroute.cli.selection import KID_SHOWN, chosen_kdn, find_blocks
from cacheroute.cli.words import counted
from cacheroute.errors import BadRequest, CacheRouteError, NotFound, Unavailable, UpstreamFailed
from cacheroute.kdn_client import Kdn
from cacheroute.wire.artifacts import ArtifactInfo, Build, QueueBuilds, Rendering
from cacheroute.wire.documents import BlockInfo

POLL_S = 0.2
POLL_SHARE = 0.1
"""Of the time, at most, that asking how far the queue is may take: it may be long."""
PATIENCE_S = 60.0
"""Without any instance that could build, before builds are no longer waited for. They stay queued."""
_DIGITS = re.compile(r"\d+")
_OVER = ("built", "present", "failed", "cancelled")
_GOES_ON = (
    "the queue goes on without you: `cacheroute kdn status` shows it, `cacheroute knowledge build --cancel` ends it"
)


class Built(Struct, frozen=True):
    """What became of the builds asked for, and what KV there is of their blocks. Not waited for: the builds as they
    are queued, and no artifacts."""

    builds: tuple[Build, ...]
    artifacts: tuple[ArtifactInfo, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why there is not more."""
        return tuple(dict.fromkeys(build.why for build in self.builds if build.state in ("failed", "cancelled")))


def build(
    invocation: Invocation,
    what: Sequence[str],
    all: bool,
    together: bool,
    rendering: Rendering,
    wait: bool,
    cancel: bool,
    kdn: str | None,
) -> int | None:
    """Returns 1 if one build failed. Raises BadRequest unless it is clear what to build, NotFound, Unavailable where
    no engine takes KV, UpstreamFailed if nothing could be built."""
    if cancel + all + bool(what) != 1:
        raise BadRequest("say what to build: kids or sources, or --all; or --cancel")
    if cancel:
        return _cancel(invocation, kdn)

    async def done() -> Built:
        async with invocation.client() as client:
            role = chosen_kdn(client, kdn)
            blocks = await role.blocks() if all else [block for each in what for block in await find_blocks(role, each)]
            if not blocks:
                raise NotFound(f"nothing is registered at {role.name}: `cacheroute knowledge add FILE`")
            return await build_sets(
                invocation.out, role, _sets(blocks, together=together), rendering, wait=wait, names=_names(blocks)
            )

    built = asyncio.run(done())
    if built.reasons and not built.artifacts:
        raise UpstreamFailed(f"nothing could be built: {'; '.join(built.reasons)}")
    invocation.out.result(built)
    return 1 if any(each.state == "failed" for each in built.builds) else None


def _cancel(invocation: Invocation, kdn: str | None) -> None:
    async def done() -> tuple[int, ...]:
        async with invocation.client() as client:
            return (await chosen_kdn(client, kdn).cancel_builds()).ids

    ids = asyncio.run(done())
    invocation.out.result({"cancelled": ids})
    invocation.out.say(f"{counted(len(ids), 'build')} that had not begun: cancelled." if ids else "Nothing is queued.")


def _sets(blocks: Sequence[BlockInfo], *, together: bool) -> list[tuple[str, ...]]:
    """What to build: each block by itself, or all as one. Raises BadRequest."""
    kids = list(dict.fromkeys(block.kid for block in blocks))
    if not together:
        return [(kid,) for kid in kids]
    if len(kids) < 2:
        raise BadRequest("--together needs the blocks that a prompt will hold together: name two or more")
    return [tuple(kids)]


def _names(blocks: Sequence[BlockInfo]) -> dict[str, str]:
    return {block.kid: f"{block.kid[:KID_SHOWN]} {block.title}" for block in blocks}


async def build_sets(
    out: Output,
    kdn: Kdn,
    sets: Sequence[tuple[str, ...]],
    rendering: Rendering = "chat",
    *,
    wait: bool = True,
    names: Mapping[str, str] | None = None,
) -> Built:
    """Queues a build for each set of kids and, unless told not to `wait`, follows it to its end. `names`: what to
    call a kid.

    Raises Unavailable where it is to be waited for and no instance can build.
    """
    if wait and (why := await _why_nobody(kdn)):
        raise Unavailable(f"{why}; see `cacheroute status` (with --no-wait, builds are queued until one can)")
    queued = await kdn.queue_builds(QueueBuilds(sets=tuple(sets), rendering=rendering))
    ids = frozenset(queued.ids)
    if not wait:
        builds = tuple(each for each in await kdn.builds() if each.id in ids)
        out.say(f"{counted(len(ids), 'build')} queued at {kdn.name}: `cacheroute kdn status` shows how far they are.")
        return Built(builds, ())
    try:
        builds = await _Following(out, kdn, ids, names or {}).to_the_end()
    except (asyncio.CancelledError, CacheRouteError):
        out.note(f"Not waited for any longer; {_GOES_ON}.")
        raise
    wanted = {kid for each in sets for kid in each}
    artifacts = tuple(artifact for artifact in await kdn.artifacts() if wanted.issuperset(artifact.kids))
    total_mb = sum(artifact.nbytes for artifact in artifacts) / 2**20
    old = sum(each.state == "present" for each in builds)
    there = "" if not old else " All was there already." if old == len(builds) else f" {old} were there already."
    out.say(f"KV: {counted(len(artifacts), 'artifact')}, {total_mb:.0f} MB at {kdn.name}.{there}")
    return Built(builds, artifacts)


async def _why_nobody(kdn: Kdn) -> str:
    """Why no live instance can build KV; empty where one can."""
    instances = (await kdn.status())["instances"]
    if any(not each["no_kv"] for each in instances.values()):
        return ""
    reasons = "; ".join(f"{name}: {each['no_kv']}" for name, each in instances.items())
    return f"no live instance can build KV ({reasons or f'{kdn.name} knows of none'})"


class _Following:
    """Builds in a queue, told of one after the other as they end."""

    def __init__(self, out: Output, kdn: Kdn, ids: frozenset[int], names: Mapping[str, str]) -> None:
        self._out = out
        self._kdn = kdn
        self._ids = ids
        self._names = names
        self._over: dict[int, Build] = {}
        self._told = self._waited_for = ""

    async def to_the_end(self) -> tuple[Build, ...]:
        """Raises Unavailable where nobody is there to build them any more."""
        nobody_since_s: float | None = None
        while True:
            began_s = time.monotonic()
            open_builds = self._note(await self._kdn.builds())
            if not open_builds:
                return tuple(self._over[each] for each in sorted(self._over))
            waited_for = next((each.why for each in open_builds if each.state == "queued" and each.why), "")
            self._say_waiting(waited_for)
            why = await _why_nobody(self._kdn) if waited_for else ""
            nobody_since_s = (nobody_since_s or began_s) if why else None
            if nobody_since_s is not None and began_s - nobody_since_s > PATIENCE_S:
                raise Unavailable(f"{why}, for {PATIENCE_S:.0f} s now")
            await asyncio.sleep(max(POLL_S, (time.monotonic() - began_s) / POLL_SHARE))

    def _note(self, builds: Sequence[Build]) -> list[Build]:
        """Tells of those that ended; returns those that did not."""
        mine = [each for each in builds if each.id in self._ids]
        for each in mine:
            if each.state in _OVER and each.id not in self._over:
                self._over[each.id] = each
                if each.state != "present":
                    self._out.note(f"  {len(self._over)}/{len(self._ids)} {_outcome(each)}  {self._called(each)}")
        return [each for each in mine if each.state not in _OVER]

    def _say_waiting(self, waited_for: str) -> None:
        """Once, of what was so twice in a row: that a build has ended, or a lease is renewed, is no news."""
        reason = _DIGITS.sub("", waited_for)  # nor how long it still waits
        if reason and reason == self._waited_for and reason != self._told:
            self._out.note(f"  waiting: {waited_for}")
            self._told = reason
        self._waited_for = reason

    def _called(self, build: Build) -> str:
        return " + ".join(self._names.get(kid, kid[:KID_SHOWN]) for kid in build.kids)


def _outcome(build: Build) -> str:
    return f"built in {build.ms / 1000:.1f} s" if build.state == "built" else f"{build.state}: {build.why}"
