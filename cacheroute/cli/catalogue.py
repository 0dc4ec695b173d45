"""`cacheroute knowledge list`, `show` and `search`: what is registered, and what a question would find."""

import asyncio
from dataclasses import asdict

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.selection import chosen_kdn, chosen_kdns, find_blocks
from cacheroute.wire.documents import BlockInfo, DocumentInfo
from knowledge.retrieval.match import Matches


def listing(invocation: Invocation, collection: str | None, blocks: bool, kdn: str | None) -> None:
    """Every document, or every block, by KDN and source."""
    if blocks:
        _list_blocks(invocation, collection, kdn)
        return
    which = {"collection": collection} if collection else {}

    async def asked() -> dict[str, tuple[DocumentInfo, ...]]:
        async with invocation.client() as client:
            return {role.name: await role.documents(**which) for role in chosen_kdns(client, kdn)}

    documents = asyncio.run(asked())
    out = invocation.out
    out.result({"kdns": documents})
    rows = [(name, document) for name, held in documents.items() for document in held]
    if not rows:
        out.say("Nothing is registered: `cacheroute knowledge add FILE`.")
        return
    out.table(
        ("TITLE", "BLOCKS", "WITH KV", "TOKENS", "VERSION", "KDN", "COLLECTION", "SOURCE"),
        (
            (
                document.title,
                document.blocks,
                document.built_blocks or "-",
                document.tokens,
                document.version or f"r{document.revision}",
                name,
                document.collection,
                document.source,
            )
            for name, document in rows
        ),
        right=("BLOCKS", "WITH KV", "TOKENS"),
    )
    total = sum(document.blocks for _, document in rows)
    built = sum(document.built_blocks for _, document in rows)
    out.say(f"{len(rows)} documents, {total} blocks, {built} with KV")


def _list_blocks(invocation: Invocation, collection: str | None, kdn: str | None) -> None:
    which = {"collection": collection} if collection else {}

    async def asked() -> dict[str, tuple[BlockInfo, ...]]:
        async with invocation.client() as client:
            return {role.name: await role.blocks(**which) for role in chosen_kdns(client, kdn)}

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
    out.say(f"{len(rows)} blocks, {sum(bool(block.artifacts) for _, block in rows)} with KV")


def show(invocation: Invocation, what: str, kdn: str | None) -> None:
    """One block, or all blocks of a source, with their texts."""

    async def asked() -> list[BlockInfo]:
        async with invocation.client() as client:
            role = chosen_kdn(client, kdn)
            return [await role.block(block.kid) for block in await find_blocks(role, what)]

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

    matches, out = asyncio.run(asked()), invocation.out
    out.result(asdict(matches))
    out.table(
        ("KID", "TITLE", "CONFIDENCE", "SCORE", "WORDS", "MEANING", "TOKENS", "VERDICT"),
        (
            (
                match.kid[:12],
                match.title,
                f"{match.confidence:.2f}",
                f"{match.fused:.2f}",
                f"{match.lexical:.2f}",
                f"{match.cosine:.2f}",
                match.tokens,
                match.reason,
            )
            for match in matches.considered[:k]
        ),
        right=("CONFIDENCE", "SCORE", "WORDS", "MEANING", "TOKENS"),
    )
    out.say(f"{matches.reason} (threshold in force: a confidence of {matches.threshold:.2f})")
