"""What was deleted is gone from the disk within a minute, however many deletions there were. Knows no document."""

import asyncio
import logging

from knowledge.catalogue.shelf import Shelf
from knowledge.errors import CatalogueError

log = logging.getLogger(__name__)

EVERY_S = 60.0
"""A hundred MB take about a second, in which nothing is registered: not after each deletion."""


async def keep_rewritten(shelf: Shelf) -> None:
    """For ever: the file is written anew whenever something was deleted since the last time."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await asyncio.to_thread(shelf.rewrite)
        except CatalogueError as error:
            log.warning("deleted text may still lie in the file: %s", error)
