"""What an operator means by a name: which KDN, which blocks. Pure."""

from collections.abc import Sequence

from cacheroute.client import Client
from cacheroute.errors import BadRequest, NotFound
from cacheroute.kdn_client import Kdn
from cacheroute.wire.documents import BlockInfo

KID_DIGITS = 64
SHORTEST_KID = 6
"""Fewer hex digits than that are more likely a source's name."""


def chosen_kdn(client: Client, name: str | None) -> Kdn:
    """The KDN of that name; without one, the first that is configured. Raises NotFound."""
    if name is None:
        return next(iter(client.kdns.values()))
    if name not in client.kdns:
        raise NotFound(f"there is no [kdn.{name}]; configured: {', '.join(client.kdns)}")
    return client.kdns[name]


def find_blocks(blocks: Sequence[BlockInfo], what: str) -> list[BlockInfo]:
    """The blocks that `what` names: by the beginning of a kid, or all of one source, by its end.

    Raises NotFound if there are none, BadRequest if it could be several.
    """
    if len(what) >= SHORTEST_KID and (by_kid := [block for block in blocks if block.kid.startswith(what)]):
        if len({block.kid for block in by_kid}) > 1:
            raise BadRequest(f"{what!r} begins several kids: " + ", ".join(block.kid[:16] for block in by_kid))
        return by_kid[:1]
    ending = f"/{what.removeprefix('./')}"
    named = [block for block in blocks if block.source == what]
    named = named or [block for block in blocks if block.source.endswith(ending)]
    if not named:
        hint = f" (of a kid, give {SHORTEST_KID} digits or more)" if 0 < len(what) < SHORTEST_KID else ""
        raise NotFound(f"nothing registered is called {what!r}{hint}; `cacheroute knowledge list` shows what is")
    if len(sources := sorted({block.source for block in named})) > 1:
        raise BadRequest(f"{what!r} could be several sources: {', '.join(sources)}")
    if len(collections := sorted({block.collection for block in named})) > 1:
        raise BadRequest(f"{what!r} is in several collections ({', '.join(collections)}): name a kid")
    return sorted(named, key=lambda block: block.ordinal)
