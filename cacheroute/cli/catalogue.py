"""`cacheroute knowledge list`, `show` and `search`: what is registered, and what a question would find."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from cacheroute.cli.considered import say_considered
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.selection import KID_SHOWN, chosen_kdn, chosen_kdns, find_blocks, of_each
from cacheroute.cli.words import counted
from cacheroute.errors import BadRequest, CacheRouteError
from cacheroute.wire.documents import BlockInfo, DocumentInfo
from knowledge.retrieval.match import Matches

_EMPTY = "Nothing is registered: `cacheroute knowledge add FILE`."
_DEFAULT = "default"


def listing(invocation: Invocation, collection: str | None, blocks: bool, kdn: str | None) -> int | None:
    """Every document, or every block. Returns 1 if a KDN does not answer. Raises what it says if none does."""
    which = {"collection": collection} if collection else {}
    if blocks:
        return _list_blocks(invocation, which, kdn)

    async def asked() -> tuple[dict[str, tuple[DocumentInfo, ...]], list[CacheRouteError]]:
        async with invocation.client() as client:
            return await of_each(chosen_kdns(client, kdn), lambda role: role.documents(**which))

    held, errors = asyncio.run(asked())
    out = invocation.out
    out.result({"kdns": held, "failures": [error.message for error in errors]})
    where = _where((_shown(document), name) for name, documents in held.items() for document in documents)
    if where:
        with_kdn = len(held) > 1
        _table(
            invocation,
            ("TITLE", "BLOCKS", "WITH KV", "TOKENS", "VERSION"),
            [(*row[2:], kdns, *row[:2]) for row, kdns in where.items()],
            with_kdn=with_kdn,
        )
        documents = {(each.collection, each.source): each for told in held.values() for each in told}
        blocks_held = sum(each.blocks for each in documents.values())
        built = sum(each.built_blocks for told in held.values() for each in told)
        kv = f"; KV of {built} blocks, summed over KDNs" if with_kdn else f", {built} with KV"
        out.say(f"{counted(len(documents), 'document')}, {counted(blocks_held, 'block')}{kv}")
    return _concluded(invocation, bool(where), collection, errors)


def _shown(document: DocumentInfo) -> tuple[object, ...]:
    """What a row says of it, collection and source first: by them rows are ordered."""
    return (
        document.collection,
        document.source,
        document.title,
        document.blocks,
        document.built_blocks or "-",
        document.tokens,
        document.version or f"r{document.revision}",
    )


def _list_blocks(invocation: Invocation, which: Mapping[str, str], kdn: str | None) -> int | None:
    async def asked() -> tuple[dict[str, tuple[BlockInfo, ...]], list[CacheRouteError]]:
        async with invocation.client() as client:
            return await of_each(chosen_kdns(client, kdn), lambda role: role.blocks(**which))

    held, errors = asyncio.run(asked())
    invocation.out.result({"kdns": held, "failures": [error.message for error in errors]})
    where = _where((_shown_block(block), name) for name, blocks in held.items() for block in blocks)
    if where:
        _table(
            invocation,
            ("KID", "TITLE", "BLOCK", "CHARS", "KV"),
            [(*row[3:], kdns, *row[:2]) for row, kdns in where.items()],
            with_kdn=len(held) > 1,
        )
        invocation.out.say(counted(len({block.kid for told in held.values() for block in told}), "block"))
    return _concluded(invocation, bool(where), which.get("collection"), errors)


def _shown_block(block: BlockInfo) -> tuple[object, ...]:
    key = (block.collection, block.source, block.ordinal)
    return (*key, block.kid[:KID_SHOWN], block.title, block.ordinal + 1, block.chars, len(block.artifacts) or "-")


def _where(rows: Iterable[tuple[tuple[object, ...], str]]) -> dict[tuple[object, ...], str]:
    """row -> the KDNs that say just that."""
    kdns: dict[tuple[object, ...], list[str]] = {}
    for row, name in rows:
        kdns.setdefault(row, []).append(name)
    return {row: " ".join(kdns[row]) for row in sorted(kdns, key=lambda row: tuple(map(str, row[:2])))}


def _table(invocation: Invocation, columns: Sequence[str], rows: Sequence[Sequence[object]], *, with_kdn: bool) -> None:
    """`rows`: the columns, then KDNs, collection, source. KDN and collection are shown where they differ at all."""
    ends = {"KDN": with_kdn, "COLLECTION": any(row[-2] != _DEFAULT for row in rows), "SOURCE": True}
    told = [True] * len(columns) + list(ends.values())
    invocation.out.table(
        (*columns, *(name for name, is_told in ends.items() if is_told)),
        ([cell for cell, is_told in zip(row, told, strict=True) if is_told] for row in rows),
        right=[name for name in columns if name not in ("KID", "TITLE", "VERSION")],
        whole=[name for name in columns if name == "KID"],
        ends=("SOURCE",),
    )


def _concluded(
    invocation: Invocation, found: bool, collection: str | None, errors: Sequence[CacheRouteError]
) -> int | None:
    if not found:
        in_it = f" in the collection {collection!r}; `cacheroute knowledge list` shows all." if collection else ""
        invocation.out.say(f"Nothing is registered{in_it}" if in_it else _EMPTY)
    for error in errors:
        invocation.out.note(error.message)
    return 1 if errors else None


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
        out.say(f"kid {block.kid}")
        version = f", version {block.version}" if block.version else ""
        out.say(f"about {block.tokens} tokens, collection {block.collection}{version}, "
                f"artifacts with its KV: {len(block.artifacts) or 'none'}\n")  # fmt: skip
        out.say(f"{block.text}\n")


def search(invocation: Invocation, query: str, k: int) -> None:
    """What the scheduler would consider for a question, used or not. Raises BadRequest where nothing is asked."""
    if not query.strip():
        raise BadRequest("the question is empty: say what to search for")

    async def asked() -> Matches:
        async with invocation.client() as client:
            return await client.search(query, k)

    matches, out = asyncio.run(asked()), invocation.out
    out.result(asdict(matches))
    if not matches.considered:
        out.say(f"Nothing comes near it ({matches.reason}); `cacheroute knowledge list` shows what is registered.")
        return
    say_considered(out, matches.considered[:k])
    out.say(f"{matches.reason}; the threshold in force is a confidence of {matches.threshold:.2f}")
