"""`cacheroute knowledge build`: the KV of blocks computed once, so that it can be injected later."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.output import Output
from cacheroute.cli.selection import chosen_kdn, find_blocks
from cacheroute.errors import BadRequest, UpstreamFailed
from cacheroute.kdn_client import Kdn
from cacheroute.wire.artifacts import Artifact, BuildResult

PRESENT = "present"
"""What a KDN says of an artifact that it has already."""


class Built(Struct, frozen=True):
    """What a round of building left: the artifacts, old and new, and why there are not more."""

    results: tuple[BuildResult, ...]

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        return tuple(result.artifact for result in self.results if result.artifact is not None)

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(result.reason for result in self.results if result.artifact is None))


def build(invocation: Invocation, what: str | None, all: bool, kdn: str | None) -> None:
    """Raises BadRequest unless exactly one of `what` and `all` is given, UpstreamFailed if nothing could be built."""
    if all == (what is not None):
        raise BadRequest("say what to build: a kid, a source, or --all")

    async def built() -> Built:
        async with invocation.client() as client:
            role = chosen_kdn(client, kdn)
            blocks = await role.blocks()
            kids = [block.kid for block in (blocks if what is None else find_blocks(blocks, what))]
            return await build_blocks(invocation.out, role, kids)

    done = asyncio.run(built())
    if done.reasons and not done.artifacts:
        raise UpstreamFailed(f"nothing could be built: {'; '.join(done.reasons)}")
    invocation.out.result({"results": done.results})


async def build_blocks(out: Output, kdn: Kdn, kids: Sequence[str]) -> Built:
    """Builds the KV of each block by itself; says how far it is. What is there already costs nothing."""
    results: list[BuildResult] = []
    for number, kid in enumerate(kids, 1):
        for result in await kdn.build((kid,)):
            results.append(result)
            if result.reason != PRESENT:
                out.note(f"  {number}/{len(kids)} {kid[:12]} {_outcome(result)}")
    done = Built(tuple(results))
    old = sum(result.reason == PRESENT for result in results)
    total_mb = sum(artifact.nbytes for artifact in done.artifacts) / 2**20
    out.say(f"KV: {len(done.artifacts)} artifacts, {total_mb:.0f} MB at {kdn.name}; {old} were there already.")
    return done


def _outcome(result: BuildResult) -> str:
    artifact = result.artifact
    if artifact is None:
        return f"no KV: {result.reason}"
    return f"{artifact.n_tokens} tokens, {artifact.nbytes / 2**20:.1f} MB, {result.ms:.0f} ms {result.reason}".rstrip()
