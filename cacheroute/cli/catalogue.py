"""`cacheroute knowledge list`, `show` and `search`: what is registered, and what a question would find."""

import asyncio
from dataclasses import asdict

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.selection import chosen_kdn, find_blocks
from cacheroute.wire.documents import BlockInfo
from knowledge.match import Gate, Matches


def listing(invocation: Invocation, kdn: str | None) -> None:
    """Every block, by KDN and source."""

    async def asked() -> dict[str, tuple[BlockInfo, ...]]:
        async with invocation.client() as client:
            roles = client.kdns.values() if kdn is None else [chosen_kdn(client, kdn)]
            return {role.name: await role.blocks() for role in roles}

    blocks = asyncio.run(asked())
    out = invocation.out
    out.result({"kdns": blocks})
    rows = [(name, block) for name, held in blocks.items() for block in held]
    if not rows:
        out.say("Nothing is registered: `cacheroute knowledge add FILE`.")
        return
    out.table(
        ("KID", "TITLE", "BLOCK", "CHARS", "KV", "KDN", "COLLECTION", "SOURCE"),
        (
            (
                block.kid[:12],
                block.title,
                block.ordinal + 1,
                block.chars,
                len(block.artifacts) or "-",
                name,
                block.collection,
                block.source,
            )
            for name, block in rows
        ),
        right=("BLOCK", "CHARS", "KV"),
    )
    sources = len({(name, block.source) for name, block in rows})
    out.say(f"{sources} documents, {len(rows)} blocks, {sum(bool(block.artifacts) for _, block in rows)} with KV")


def show(invocation: Invocation, what: str, kdn: str | None) -> None:
    """One block, or all blocks of a source, with their texts."""

    async def asked() -> list[BlockInfo]:
        async with invocation.client() as client:
            role = chosen_kdn(client, kdn)
            return [await role.block(block.kid) for block in find_blocks(await role.blocks(), what)]

    blocks, out = asyncio.run(asked()), invocation.out
    out.result({"blocks": blocks})
    for block in blocks:
        out.say(f"{block.title}, block {block.ordinal + 1} of {block.source}")
        out.say(f"{block.kid}")
        out.say(f"{block.tokens} tokens, collection {block.collection}, KV: {len(block.artifacts) or 'none'}\n")
        out.say(f"{block.text}\n")


def search(invocation: Invocation, query: str, k: int) -> None:
    """What the scheduler would consider for a question, used or not."""

    async def asked() -> Matches:
        async with invocation.client() as client:
            return await client.search(query, k)

    matches, gate, out = asyncio.run(asked()), Gate(), invocation.out
    out.result({**asdict(matches), "threshold": asdict(gate)})
    out.table(
        ("KID", "TITLE", "SCORE", "WORDS", "MEANING", "TOKENS", "VERDICT"),
        (
            (
                match.kid[:12],
                match.title,
                f"{match.fused:.2f}",
                f"{match.lexical:.2f}",
                f"{match.cosine:.2f}",
                match.tokens,
                match.reason,
            )
            for match in matches.considered[:k]
        ),
        right=("SCORE", "WORDS", "MEANING", "TOKENS"),
    )
    out.say(f"{matches.reason} (the best needs a score of {gate.min_fused:.2f} and a meaning of {gate.min_cosine:.2f})")
