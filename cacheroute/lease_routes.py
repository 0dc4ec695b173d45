"""Where leases are taken, renewed and given back over HTTP. Knows no role."""

from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from cacheroute.errors import BadRequest
from cacheroute.incoming import read_struct
from cacheroute.lease import LeaseTable, Record
from cacheroute.service import json_response
from cacheroute.wire.control import Grant

R = TypeVar("R", bound=Record)


def lease_routes(
    role: str,
    kind: type[R],
    table: LeaseTable[R],
    grant: Callable[[], Grant],
    renewed: Callable[[R], None] = lambda record: None,
) -> list[web.RouteDef]:
    """PUT and DELETE of `/v1/leases/{role}/{name}`, its body a `kind`. `renewed` is told of each record that came."""

    async def renew(request: web.Request) -> web.Response:
        record = await read_struct(request, kind)
        if record.name != request.match_info["name"]:
            raise BadRequest(f"the record names {record.name!r}, the path {request.match_info['name']!r}")
        table.renew(record)
        renewed(record)
        return json_response(grant())

    async def leave(request: web.Request) -> web.Response:
        table.drop(request.match_info["name"])
        return json_response({"ok": True})

    path = f"/v1/leases/{role}/{{name}}"
    return [web.put(path, renew), web.delete(path, leave)]
