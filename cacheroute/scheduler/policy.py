"""Which pool serves a request, and which KDN its KV comes from. Pure: same snapshot, same turn -> same Decision."""

from collections.abc import Callable, Collection, Sequence

from cacheroute.wire.control import KdnRecord, ProxyRecord
from cacheroute.wire.decision import Decision

Strategy = Callable[[Sequence[ProxyRecord], int], list[Decision]]
"""(pools that serve the model, turn) -> decisions, best first. The rest are where it goes if the first is gone."""


def round_robin(pools: Sequence[ProxyRecord], turn: int) -> list[Decision]:
    """Each in its turn."""
    count = len(pools)
    ordered = [pools[(turn + step) % count] for step in range(count)]
    return [
        Decision(target=pool.name, reason="round_robin" if step == 0 else "round_robin, next after a failure")
        for step, pool in enumerate(ordered)
    ]


def choose_kdn(kdns: Sequence[KdnRecord], holders: Collection[str], turn: int) -> Decision | None:
    """In turn among the live KDNs that hold all of the request's knowledge; None where no live one does."""
    holding = [kdn for kdn in kdns if kdn.name in holders]
    if not holding:
        return None
    return Decision(target=holding[turn % len(holding)].name, reason="round_robin over its holders")


STRATEGIES: dict[str, Strategy] = {"round_robin": round_robin}
"""By the names that the configuration takes."""
