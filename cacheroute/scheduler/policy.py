"""Which KDN a request's KV comes from. Pure: same snapshot, same turn -> same Decision."""

from collections.abc import Callable, Collection, Sequence

from cacheroute.wire.control import KdnRecord
from cacheroute.wire.decision import Decision


def choose_kdn(
    kdns: Sequence[KdnRecord],
    holders: Collection[str],
    turn: int,
    max_waiting: int,
    asked: Callable[[KdnRecord], int],
) -> Decision | None:
    """The live KDN that holds all of the request's knowledge and is the least busy; None where no live one does.

    Busy is what its lease says, waiting and injecting, and what was `asked` of it since. One with `max_waiting`
    injections waiting or more is chosen only where the others have as many. Equally busy ones take turns.
    """
    busy = {kdn.name: kdn.load.waiting + kdn.load.injecting + asked(kdn) for kdn in kdns if kdn.name in holders}
    if not busy:
        return None
    holding = [kdn for kdn in kdns if kdn.name in busy]
    calm = [kdn for kdn in holding if kdn.load.waiting < max_waiting]
    least = min(busy[kdn.name] for kdn in calm or holding)
    equal = [kdn for kdn in calm or holding if busy[kdn.name] == least]
    chosen = equal[turn % len(equal)]
    return Decision(
        target=chosen.name,
        reason=f"{_why(len(holding), len(calm), len(equal), max_waiting)}: {chosen.load.waiting} waiting, "
        f"{chosen.load.injecting} injecting, {asked(chosen)} asked since its lease",
        scores=tuple((name, float(each)) for name, each in busy.items()),
    )


def _why(holding: int, calm: int, equal: int, max_waiting: int) -> str:
    """What the choice among so many holders was made by."""
    if holding == 1:
        return "the only holder"
    how = "least busy" if equal == 1 else f"in turn among {equal} equally busy"
    if not calm:
        return f"{how} of {holding} holders, all with {max_waiting} or more waiting"
    if calm < holding:
        return f"{how} of {holding} holders, passing {holding - calm} with {max_waiting} or more waiting"
    return f"{how} of {holding} holders"
