"""What an operator means by a name: which KDN, which documents, blocks and artifacts."""

from collections.abc import Sequence

from cacheroute.client import Client
from cacheroute.errors import BadRequest, CacheRouteError, NotFound
from cacheroute.kdn_client import Kdn
from cacheroute.wire.artifacts import ArtifactInfo
from cacheroute.wire.documents import BlockInfo, DocumentInfo

KID_DIGITS = 64
SHORTEST_KID = 6
"""Fewer hex digits than that are more likely a source's name."""
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


async def find_blocks(kdn: Kdn, what: str) -> tuple[BlockInfo, ...]:
    """The blocks that `what` names at a KDN: one by the beginning of its kid, or all of one document, by its source.

    Raises NotFound if there are none, BadRequest if it could be several.
    """
    if SHORTEST_KID <= len(what) <= KID_DIGITS and _HEX.issuperset(what):
        by_kid = await kdn.blocks(kid=what)
        if len({block.kid for block in by_kid}) > 1:
            raise BadRequest(f"{what!r} begins several kids: " + ", ".join(block.kid[:16] for block in by_kid[:20]))
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
    """The artifacts that `what` names: one by the beginning of its id, or all that hold a block it names.

    Raises NotFound if there are none.
    """
    if len(what) >= SHORTEST_KID and _HEX.issuperset(what):
        by_id = [artifact for artifact in await kdn.artifacts() if artifact.id.startswith(what)]
        if by_id:
            return tuple(by_id)
    found: dict[str, ArtifactInfo] = {}
    for block in await find_blocks(kdn, what):
        found |= {artifact.id: artifact for artifact in await kdn.artifacts(kid=block.kid)}
    if not found:
        raise NotFound(f"{what!r} has no KV at {kdn.name}; `cacheroute knowledge build {what}` makes it")
    return tuple(found.values())


async def where_it_is(kdns: Sequence[Kdn], what: str) -> list[tuple[Kdn, DocumentInfo]]:
    """The document that `what` names, at each KDN that has it. Raises what the last of them said if none has."""
    found: list[tuple[Kdn, DocumentInfo]] = []
    failure: CacheRouteError | None = None
    for kdn in kdns:
        try:
            found.append((kdn, await find_document(kdn, what)))
        except CacheRouteError as error:
            failure = error
    if not found and failure is not None:
        raise failure
    return found


def the_document(documents: Sequence[DocumentInfo], what: str) -> DocumentInfo:
    """The one whose source is `what`, or ends with it. Pure. Raises NotFound, or BadRequest if it could be several."""
    ending = f"/{what.removeprefix('./')}"
    named = [document for document in documents if document.source == what]
    named = named or [document for document in documents if document.source.endswith(ending)]
    if not named:
        hint = f" (of a kid, give {SHORTEST_KID} digits or more)" if 0 < len(what) < SHORTEST_KID else ""
        raise NotFound(f"nothing registered is called {what!r}{hint}; `cacheroute knowledge list` shows what is")
    if len(sources := sorted({document.source for document in named})) > 1:
        raise BadRequest(f"{what!r} could be several sources: {', '.join(sources)}")
    if len(collections := sorted(document.collection for document in named)) > 1:
        raise BadRequest(f"{what!r} is in several collections ({', '.join(collections)}): name a kid")
    return named[0]
