"""Speaks to a running supervisord: XML-RPC over its unix socket. Starts no supervisord and knows no plan.

The methods are those of http://supervisord.org/api.html.
"""

import re
import xmlrpc.client
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from stack.errors import Refused, SupervisorError

_TIMEOUT_S = 10.0
_LOG_TAIL_BYTES = 8192


class Process(Struct, frozen=True):
    """A program as supervisord sees it; RUNNING there means that it has stayed up, not that it is ready."""

    name: str
    state: str
    pid: int
    """0 where there is no process."""
    uptime_s: int
    """Since it was spawned, by supervisord's clock."""

    @property
    def is_up(self) -> bool:
        return self.state in ("STARTING", "RUNNING")

    @property
    def is_stoppable(self) -> bool:
        return self.is_up or self.state == "BACKOFF"

    @property
    def is_gone(self) -> bool:
        """No process, and none to come by itself."""
        return self.state in ("STOPPED", "FATAL")


class SupervisorClient:
    """One supervisord. Every method raises SupervisorError if it is not there, Refused if it says no."""

    def __init__(self, socket: Path) -> None:
        transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False)
        self._http = httpx.AsyncClient(
            transport=transport, base_url="http://supervisord", timeout=_TIMEOUT_S, trust_env=False
        )
        self._socket = socket

    async def __aenter__(self) -> "SupervisorClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def pid(self) -> int:
        return await self._call("getPID")

    async def process(self, name: str) -> Process:
        return _process(await self._call("getProcessInfo", name))

    async def processes(self) -> dict[str, Process]:
        return {info["name"]: _process(info) for info in await self._call("getAllProcessInfo")}

    async def ending(self, name: str) -> str:
        """How it last ended, in supervisord's words: "exit status 1", "terminated by SIGKILL".

        Only its log tells: for a process that ended early, the interface knows no status.
        """
        log: str = await self._call("readLog", -_LOG_TAIL_BYTES, 0)
        endings = re.findall(rf"exited: {re.escape(name)} \(([^;)]+)", log)
        return endings[-1] if endings else "ended"

    async def start(self, name: str) -> None:
        """Spawns, and does not wait for anything after that."""
        await self._call("startProcess", name, False)

    async def stop(self, name: str) -> None:
        """Asks it to end, and does not wait."""
        await self._call("stopProcess", name, False)

    async def reload(self) -> None:
        """Takes up a changed configuration file, but for programs that are up: they stay as they are."""
        ((added, changed, removed),) = await self._call("reloadConfig")
        for name in (*changed, *removed):
            try:
                await self._call("removeProcessGroup", name)
            except Refused:
                continue
            if name in changed:
                await self._call("addProcessGroup", name)
        for name in added:
            await self._call("addProcessGroup", name)

    async def shutdown(self) -> None:
        await self._call("shutdown")

    async def _call(self, method: str, *arguments: str | int) -> Any:
        content = xmlrpc.client.dumps(arguments, f"supervisor.{method}")
        try:
            response = await self._http.post("/RPC2", content=content, headers={"Content-Type": "text/xml"})
            response.raise_for_status()
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise SupervisorError(f"supervisord does not answer at {self._socket}: {reason}") from error
        try:
            return xmlrpc.client.loads(response.content)[0][0]
        except xmlrpc.client.Fault as fault:
            about = " ".join([method, *(str(each) for each in arguments if isinstance(each, str))])
            raise Refused(f"supervisord refuses {about}: {fault.faultString}") from None


def _process(info: dict[str, Any]) -> Process:
    return Process(
        name=info["name"],
        state=info["statename"],
        pid=info["pid"],
        uptime_s=max(0, info["now"] - info["start"]),
    )
