"""Whether blocks fit the engines that there are. Pure."""

from collections.abc import Iterable, Sequence

from cacheroute.wire.control import InstanceRecord
from knowledge.document import Block

ROOM_TOKENS = 512
"""What a prompt needs besides its knowledge: the question, the template, the answer."""


def unfit(blocks: Sequence[Block], instances: Iterable[InstanceRecord]) -> tuple[str, ...]:
    """The engine that is the furthest from holding the largest block, and what to do; nothing where all can."""
    largest = max(block.tokens for block in blocks)
    by_context = sorted(instances, key=lambda each: each.engine.max_model_len)
    too_short = [each for each in by_context if 0 < each.engine.max_model_len < largest + ROOM_TOKENS]  # 0: unknown
    if not too_short:
        return ()
    context = too_short[0].engine.max_model_len
    others = f" (and {len(too_short) - 1} more)" if len(too_short) > 1 else ""
    return (
        f"{too_short[0].name}{others} reads {context} tokens, too few for the largest block here (about {largest}, and "
        f"{ROOM_TOKENS} for the rest of a prompt): set this KDN's block_tokens to {max(1, context - ROOM_TOKENS)} or "
        "less and register the document again",
    )
