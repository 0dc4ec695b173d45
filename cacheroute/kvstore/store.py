"""A kv store as roles use it: touch, read, write, purge. Values are opaque bytes.

The work is done on blocking links in a few threads of the store's own, so the event loop never waits for it, and
large values are not copied through it.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from cacheroute.address import authority
from cacheroute.errors import Unavailable
from cacheroute.keys import model_of
from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.kvstore.link import Link, StoreError, Target, Value
from cacheroute.tokens import Tokens

T = TypeVar("T")

SCAN_KEYS = 1000
"""Keys that the server looks at in one step of a sweep: about a millisecond of its one thread."""

MAX_LINKS = 8
"""Connections to one store, and threads that work on them. More work waits."""


def store_url(config: KvStoreConfig, tokens: Tokens) -> str:
    """The address of a store, with its password: for this process's own use, never for a request or a log."""
    return config.url or f"redis://:{tokens.kv_password}@{authority(config.host, config.port)}/0"


def socket_path(state_dir: Path, name: str) -> Path:
    """The embedded store's unix socket, beside its TCP port."""
    return state_dir / f"{name}.sock"


class KvStore:
    """One store by name. Raises Unavailable whenever the server cannot be asked; never blocks the loop.

    With the `state_dir`, an embedded store on this machine is reached by its unix socket, at half the cost.
    """

    def __init__(self, name: str, config: KvStoreConfig, tokens: Tokens, state_dir: Path | None = None) -> None:
        self.name = name
        socket = socket_path(state_dir, name) if state_dir is not None and not config.url else None
        self._target = Target(store_url(config, tokens), socket)
        self._timeout_s = config.timeout_s
        self._threads = ThreadPoolExecutor(MAX_LINKS, thread_name_prefix=f"kv-{name}")
        self._idle: list[Link] = []
        self._calls: set[_Call] = set()

    async def close(self) -> None:
        """Ends what is under way, and every connection."""
        for call in tuple(self._calls):
            call.abort()
        self._threads.shutdown(wait=False, cancel_futures=True)
        while self._idle:
            self._idle.pop().close()

    async def run(self, work: Callable[[Link], T], *, timeout_s: float | None = None) -> T:
        """`work`'s result, computed in a thread on a link. Cancelling, and time running out, break the link off."""
        call = _Call()
        self._calls.add(call)
        try:
            async with asyncio.timeout(self._timeout_s if timeout_s is None else timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, call, work)
        except (OSError, StoreError) as error:  # TimeoutError is an OSError
            raise Unavailable(f"kv store {self.name}: {str(error) or 'it did not answer in time'}") from error
        finally:
            call.abort()
            self._calls.discard(call)

    async def missing(self, keys: Sequence[str], *, timeout_s: float | None = None) -> list[int]:
        """Indexes of the keys that are not there. What is there counts as just used."""
        if not keys:
            return []
        found = await self.run(lambda link: link.touch(keys), timeout_s=timeout_s)
        return [index for index, there in enumerate(found) if not there]

    async def read(self, keys: Sequence[str]) -> list[bytearray | None]:
        """The values; None where a key is not there."""
        return await self.run(lambda link: link.mget(keys)) if keys else []

    async def write(self, items: Sequence[tuple[str, Value]]) -> None:
        """Sets the items, pipelined, in the order given."""
        await self.run(lambda link: link.set(items))

    async def purge(self, keys: Sequence[str]) -> int:
        """Deletes the keys; returns how many were there."""
        return await self.run(lambda link: link.delete(keys)) if keys else 0

    async def sweep(self, model: str, kept: Callable[[str], bool]) -> int:
        """Takes out every chunk whose key begins with the model string `model`, unless its key is `kept`; returns how
        many. Keys of any other form are never touched. In short steps, so that whoever else uses the store goes on.
        """
        pattern, cursor, count = f"{_literally(model)}@*", 0, 0
        while True:
            cursor, dropped = await self.run(partial(_sweep_on, cursor=cursor, pattern=pattern, model=model, kept=kept))
            count += dropped
            if not cursor:
                return count

    async def changes(self) -> tuple[str, str, int] | None:
        """Which life of the server this is, its last save, and the changes to its data since; None where it does not
        tell. While all three stay, no key has come or gone by anybody's command."""
        info = await self.info()
        changes = info.get("rdb_changes_since_last_save", "")
        if not changes.isdecimal():
            return None
        return info.get("run_id", ""), info.get("rdb_last_save_time", ""), int(changes)

    async def info(self) -> dict[str, str]:
        return await self.run(lambda link: link.info())

    def _work(self, call: "_Call", work: Callable[[Link], T]) -> T:
        link = self._take()
        try:
            call.begin(link)
            result = work(link)
        except BaseException:
            link.close()  # in the middle of something: nobody could tell what comes next on it
            raise
        finally:
            call.end()
        self._idle.append(link)
        return result

    def _take(self) -> Link:
        with suppress(IndexError):  # other threads take from it too
            while True:
                link = self._idle.pop()
                if not link.is_stale:
                    return link
                link.close()
        return Link(self._target, self._timeout_s)


def _sweep_on(link: Link, cursor: int, pattern: str, model: str, kept: Callable[[str], bool]) -> tuple[int, int]:
    """One step of a sweep: where the next begins, and how many keys it took out."""
    cursor, found = link.scan(cursor, pattern, SCAN_KEYS)
    return cursor, link.unlink([key for key in found if model_of(key) == model and not kept(key)])


def _literally(text: str) -> str:
    """`text` as a pattern that fits nothing else."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)


class _Call:
    """One piece of work, and the link it is on while it is. `abort` before `begin` holds too."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._aborted = False

    def begin(self, link: Link) -> None:
        self._link = link
        if self._aborted:
            raise ConnectionError("given up before it began")

    def end(self) -> None:
        self._link = None

    def abort(self) -> None:
        self._aborted = True
        if (link := self._link) is not None:
            link.abort()
