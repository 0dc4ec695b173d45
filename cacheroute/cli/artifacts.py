"""`cacheroute knowledge verify` and `pin`: the KV of knowledge checked, and kept."""

import asyncio

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.output import Output
from cacheroute.cli.selection import chosen_kdn, find_artifacts
from cacheroute.cli.words import counted
from cacheroute.errors import BadRequest, NotFound
from cacheroute.kdn_client import Kdn
from cacheroute.wire.artifacts import ArtifactInfo, Verdict


def verify(invocation: Invocation, what: str | None, all: bool, kdn: str | None) -> int | None:
    """Returns 1 if anything was rotten. Raises BadRequest unless it is clear what to verify, NotFound."""
    if all == (what is not None):
        raise BadRequest("say what to verify: a kid, a source, an artifact's id, or --all")

    async def verified() -> list[Verdict]:
        async with invocation.client() as client:
            role = chosen_kdn(client, kdn)
            artifacts = await role.artifacts() if what is None else await _some(role, what)
            return [each for artifact in artifacts if (each := await _verified(invocation.out, role, artifact))]

    verdicts, out = asyncio.run(verified()), invocation.out
    out.result({"verdicts": verdicts})
    rotten = sum(not verdict.ok for verdict in verdicts)
    out.say(f"{counted(len(verdicts), 'artifact')} read whole, {rotten} rotten." if verdicts else
            "There is no KV to verify: `cacheroute knowledge build` makes it.")  # fmt: skip
    return 1 if rotten else None


async def _verified(out: Output, kdn: Kdn, artifact: ArtifactInfo) -> Verdict | None:
    """None where it was evicted meanwhile."""
    try:
        verdict = await kdn.verify(artifact.id)
    except NotFound:
        return None
    if not verdict.ok:
        kept = f"{verdict.kept_tokens} of {artifact.n_tokens} tokens kept" if verdict.kept_tokens else "dropped"
        then = "; queued to be built again, see `cacheroute kdn status`" if verdict.rebuild else ""
        out.note(f"  {artifact.id[:12]} {verdict.why}: {kept}{then}")
    return verdict


def pin(invocation: Invocation, what: str, off: bool, kdn: str | None) -> None:
    """Raises NotFound where there is no KV to pin."""

    async def pinned() -> list[ArtifactInfo]:
        async with invocation.client() as client:
            role = chosen_kdn(client, kdn)
            return [await role.pin(artifact.id, pinned=not off) for artifact in await _some(role, what)]

    artifacts = asyncio.run(pinned())
    invocation.out.result({"artifacts": artifacts})
    total_mb = sum(artifact.nbytes for artifact in artifacts) / 2**20
    done = "no longer pinned: it goes for others when they need room" if off else "pinned: it is not evicted for others"
    invocation.out.say(f"{counted(len(artifacts), 'artifact')} ({total_mb:.0f} MB) {done}.")


async def _some(kdn: Kdn, what: str) -> tuple[ArtifactInfo, ...]:
    """At least one artifact. Raises NotFound."""
    artifacts = await find_artifacts(kdn, what)
    if not artifacts:
        raise no_kv(what, kdn.name)
    return artifacts


def no_kv(what: str, where: str) -> NotFound:
    """What is registered and was never built, or evicted."""
    return NotFound(f"{what!r} has no KV at {where}; `cacheroute knowledge build` makes it")
