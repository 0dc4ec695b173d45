"""Blobs that could not be removed when they should have been go as soon as their store is there again."""

import asyncio
import logging

from cacheroute.errors import Unavailable
from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kdn.worker import Worker

log = logging.getLogger(__name__)

SWEEP_S = 15.0


async def sweeping(artifacts: Artifacts, thread: Worker, every_s: float = SWEEP_S) -> None:
    """Looks again and again, for ever; costs nothing while there is nothing to do."""
    while True:
        await asyncio.sleep(every_s)
        if artifacts.is_swept:
            continue
        try:
            await thread.run(artifacts.sweep)
        except Unavailable as error:
            log.warning("still not swept: %s", error.message)
