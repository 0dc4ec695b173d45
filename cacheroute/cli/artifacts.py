"""`cacheroute knowledge build`, `verify` and `pin`: the KV of knowledge made, checked, kept."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.output import Output
from cacheroute.cli.selection import chosen_kdn, find_artifacts, find_blocks
from cacheroute.errors import BadRequest, UpstreamFailed
from cacheroute.kdn_client import Kdn
from cacheroute.wire.artifacts import ArtifactInfo, Build, QueueBuilds, Rendering, Verdict

POLL_S = 0.5
_OVER = ("built", "present", "failed", "cancelled")


class Built(Struct, frozen=True):
    """What became of the builds asked for: those that are over, and what KV there is of their blocks."""

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
) -> None:
    """Raises BadRequest unless it is clear what to build, UpstreamFailed if nothing could be built."""
    if cancel + all + bool(what) != 1:
        raise BadRequest("say what to build: kids or sources, or --all; or --cancel")
    if together and len(what) < 2:
        raise BadRequest("--together needs the blocks that a prompt will hold together: name two or more")

    async def done() -> Built | None:
        async with invocation.client() as client:
            role = chosen_kdn(client, kdn)
            if cancel:
                await role.cancel_builds()
                return None
            named = [block.kid for each in what for block in await find_blocks(role, each)]
            kids = [block.kid for block in await role.blocks()] if all else named
            sets = [tuple(kids)] if together else [(kid,) for kid in dict.fromkeys(kids)]
            return await build_sets(invocation.out, role, sets, rendering, wait=wait)

    built = asyncio.run(done())
    if built is None:
        invocation.out.say("What had not begun is cancelled.")
        invocation.out.result({"cancelled": True})
        return
    if built.reasons and not built.artifacts:
        raise UpstreamFailed(f"nothing could be built: {'; '.join(built.reasons)}")
    invocation.out.result(built)


async def build_sets(
    out: Output, kdn: Kdn, sets: Sequence[tuple[str, ...]], rendering: Rendering = "chat", *, wait: bool = True
) -> Built:
    """Queues a build for each set of kids and, unless told not to `wait`, follows it to its end."""
    queued = await kdn.queue_builds(QueueBuilds(sets=tuple(sets), rendering=rendering))
    ids = frozenset(queued.ids)
    if not wait:
        out.say(f"{len(ids)} builds are queued at {kdn.name}: `cacheroute kdn status` shows how far they are.")
        return Built((), ())
    try:
        builds = await _follow(out, kdn, ids)
    except asyncio.CancelledError:
        out.note("The queue goes on without you: `cacheroute knowledge build --cancel` ends it.")
        raise
    wanted = {kid for each in sets for kid in each}
    artifacts = tuple(artifact for artifact in await kdn.artifacts() if wanted.issuperset(artifact.kids))
    total_mb = sum(artifact.nbytes for artifact in artifacts) / 2**20
    old = sum(each.state == "present" for each in builds)
    out.say(f"KV: {len(artifacts)} artifacts, {total_mb:.0f} MB at {kdn.name}; {old} were there already.")
    return Built(builds, artifacts)


async def _follow(out: Output, kdn: Kdn, ids: frozenset[int]) -> tuple[Build, ...]:
    """Says of each build how it ended, until all have; and once what the first of them waits for."""
    over: dict[int, Build] = {}
    waited_for = ""
    while True:
        builds = [each for each in await kdn.builds() if each.id in ids]
        for each in builds:
            if each.state in _OVER and each.id not in over:
                over[each.id] = each
                if each.state != "present":
                    out.note(f"  {len(over)}/{len(ids)} {', '.join(kid[:12] for kid in each.kids)} {_outcome(each)}")
        if len(over) == len(ids) or not builds:
            return tuple(over.values())
        why = next((each.why for each in builds if each.state == "queued" and each.why), "")
        if why and why != waited_for:
            out.note(f"  waiting: {why}")
        waited_for = why
        await asyncio.sleep(POLL_S)


def _outcome(build: Build) -> str:
    return f"{build.ms:.0f} ms" if build.state == "built" else f"{build.state}: {build.why}"


def verify(invocation: Invocation, what: str | None, all: bool, kdn: str | None) -> int | None:
    """Returns 1 if anything was rotten. Raises BadRequest unless it is clear what to verify, NotFound."""
    if all == (what is not None):
        raise BadRequest("say what to verify: a kid, a source, an artifact's id, or --all")

    async def verified() -> list[Verdict]:
        async with invocation.client() as client:
            role = chosen_kdn(client, kdn)
            artifacts = await role.artifacts() if what is None else await find_artifacts(role, what)
            return [await _verified(invocation.out, role, artifact) for artifact in artifacts]

    verdicts = asyncio.run(verified())
    invocation.out.result({"verdicts": verdicts})
    rotten = sum(not verdict.ok for verdict in verdicts)
    invocation.out.say(f"{len(verdicts)} artifacts read, {rotten} rotten.")
    return 1 if rotten else None


async def _verified(out: Output, kdn: Kdn, artifact: ArtifactInfo) -> Verdict:
    verdict = await kdn.verify(artifact.id)
    if not verdict.ok:
        kept = f"{verdict.kept_tokens} of {artifact.n_tokens} tokens kept" if verdict.kept_tokens else "dropped"
        then = "; queued to be built again" if verdict.rebuild else ""
        out.note(f"  {artifact.id[:12]} {verdict.why}: {kept}{then}")
    return verdict


def pin(invocation: Invocation, what: str, off: bool, kdn: str | None) -> None:
    """Raises NotFound where there is no KV to pin."""

    async def pinned() -> list[ArtifactInfo]:
        async with invocation.client() as client:
            role = chosen_kdn(client, kdn)
            return [await role.pin(artifact.id, pinned=not off) for artifact in await find_artifacts(role, what)]

    artifacts = asyncio.run(pinned())
    invocation.out.result({"artifacts": artifacts})
    count = Counter(artifact.pinned for artifact in artifacts)
    invocation.out.say(f"{count[True]} artifacts pinned." if not off else f"{count[False]} artifacts no longer pinned.")
