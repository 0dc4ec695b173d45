"""What an operator means by a name: which KDN, which documents, blocks and artifacts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from cacheroute.client import Client
from cacheroute.errors import BadRequest, CacheRouteError, NotFound
from cacheroute.kdn_client import Kdn
from cacheroute.wire.artifacts import ArtifactInfo
from cacheroute.wire.documents import BlockInfo, DocumentInfo

T = TypeVar("T")

KID_DIGITS = 64
SHORTEST_KID = 6
"""Fewer hex digits than that are more likely a source's name."""
KID_SHOWN = 12
"""Digits of a kid, where it is shown."""
MOST_NAMED = 20
_HEX = frozenset("0123456789abcdef")


def chosen_kdn(client: Client, name: str | None) -> Kdn:
    """The KDN of that name; without one, the first that is configured. Raises NotFound."""
    if name is None:
        return next(iter(client.kdns.values()))
    if name not in client.kdns:
        raise NotFound(f"there is no [kdn.{name}]; configured: {', '.join(client.kdns)}")
    return client.kdns[name]


def chosen_kdns(client: Client, name: str | None) -> list[Kdn]:
    """The KDN of that name, or all of them."""
    return list(client.kdns.values()) if name is None else [chosen_kdn(client, name)]


async def of_each(
    kdns: Sequence[Kdn], ask: Callable[[Kdn], Awaitable[T]]
) -> tuple[dict[str, T], list[CacheRouteError]]:
    """What each KDN answers, asked all at once, and what each says that cannot. Raises what the first says where none
    answers."""
    answers = await asyncio.gather(*(_answer(kdn, ask) for kdn in kdns))
    told = {kdn.name: each for kdn, each in zip(kdns, answers, strict=True) if not isinstance(each, CacheRouteError)}
    errors = [each for each in answers if isinstance(each, CacheRouteError)]
    if errors and not told:
        raise errors[0]
    return told, errors


async def _answer(kdn: Kdn, ask: Callable[[Kdn], Awaitable[T]]) -> T | CacheRouteError:
    try:
        return await ask(kdn)
    except CacheRouteError as error:
        return error


async def find_blocks(kdn: Kdn, what: str) -> tuple[BlockInfo, ...]:
    """The blocks that `what` names at a KDN: one by the beginning of its kid, or all of one document, by its source.

    Raises NotFound if there are none, BadRequest if it could be several.
    """
    if SHORTEST_KID <= len(what) <= KID_DIGITS and _HEX.issuperset(what):
        by_kid = await kdn.blocks(kid=what)
        if len(kids := sorted({block.kid for block in by_kid})) > 1:
            raise BadRequest(f"{what!r} begins several kids, give more digits: {_several([kid[:16] for kid in kids])}")
        if by_kid:
            return by_kid[:1]
    document = the_document(await kdn.documents(), what)
    return await kdn.blocks(source=document.source, collection=document.collection)


async def find_document(kdn: Kdn, what: str) -> DocumentInfo:
    """The document that `what` names: by its source, or by the kid of one of its blocks. Raises as `find_blocks`."""
    block = (await find_blocks(kdn, what))[0]
    (document,) = await kdn.documents(source=block.source, collection=block.collection)
    return document


async def find_artifacts(kdn: Kdn, what: str) -> tuple[ArtifactInfo, ...]:
    """The artifacts that `what` names: one by the beginning of its id, or all that hold a block it names; none where
    what it names has no KV.

    Raises NotFound if it names nothing.
    """
    if len(what) >= SHORTEST_KID and _HEX.issuperset(what):
        by_id = [artifact for artifact in await kdn.artifacts() if artifact.id.startswith(what)]
        if by_id:
            return tuple(by_id)
    found: dict[str, ArtifactInfo] = {}
    for block in await find_blocks(kdn, what):
        found |= {artifact.id: artifact for artifact in await kdn.artifacts(kid=block.kid)}
    return tuple(found.values())


def the_document(documents: Sequence[DocumentInfo], what: str) -> DocumentInfo:
    """The one whose source is `what`, or ends with it. Pure. Raises NotFound, or BadRequest if it could be several."""
    ending = f"/{what.removeprefix('./')}"
    named = [document for document in documents if document.source == what]
    named = named or [document for document in documents if document.source.endswith(ending)]
    if not named:
        raise NotFound(f"{_unknown(what)}; `cacheroute knowledge list` shows what is registered")
    if len(sources := sorted({document.source for document in named})) > 1:
        raise BadRequest(f"{what!r} could be several sources, name one: {_several(sources)}")
    if len(collections := sorted(document.collection for document in named)) > 1:
        raise BadRequest(f"{what!r} is in several collections ({_several(collections)}): name a kid")
    return named[0]


def _unknown(what: str) -> str:
    if what and _HEX.issuperset(what):
        if len(what) < SHORTEST_KID:
            return f"nothing registered is called {what!r} (of a kid, give {SHORTEST_KID} digits or more)"
        return f"no kid begins with {what!r}, and nothing registered is called so"
    return f"nothing registered is called {what!r}"


def _several(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
