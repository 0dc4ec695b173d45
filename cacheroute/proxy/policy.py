"""Which instance of the pool serves a request. Pure: same request, same snapshot, same turn -> same Decision."""

from collections.abc import Callable, Sequence

from cacheroute.wire.control import InstanceRecord
from cacheroute.wire.decision import Decision

Strategy = Callable[[Sequence[InstanceRecord], int], list[Decision]]
"""(instances that can serve it, turn) -> decisions, best first. The rest are where it goes if the first is gone."""


def round_robin(instances: Sequence[InstanceRecord], turn: int) -> list[Decision]:
    """Each in its turn."""
    count = len(instances)
    ordered = [instances[(turn + step) % count] for step in range(count)]
    return [
        Decision(target=instance.name, reason="round_robin" if step == 0 else "round_robin, next after a failure")
        for step, instance in enumerate(ordered)
    ]


STRATEGIES: dict[str, Strategy] = {"round_robin": round_robin}
