"""What each role's aiohttp planes share: errors as JSON, the control token, Host and Origin, health,
metrics, and a main loop that drains. A role's `app.py` builds its planes; this serves them. Knows no role.
"""

import asyncio
import hmac
import logging
import re
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import prometheus_client
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from cacheroute import sanitise
from cacheroute.errors import (
    BadRequest,
    CacheRouteError,
    Forbidden,
    NotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
    WrongMethod,
)
from cacheroute.telemetry import Metrics, new_request_id

log = logging.getLogger(__name__)

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
REQUEST_ID_HEADER = "X-Request-ID"
REQUEST_ID = web.RequestKey("request_id", str)
ANSWERING = web.RequestKey("answering", bool)
"""Set once the headers of an answer are out, which nothing can take back."""
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
METRICS = web.AppKey("metrics", Metrics)
FAILURE = web.AppKey("failure", asyncio.Future[str])
"""Optional, of a plane: resolved with the reason when the role can never serve again. `run` then ends the process."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One listening address and what answers there."""

    host: str
    port: int
    app: web.Application


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may call a plane: hosts by name, and a bearer token (None: the plane checks credentials itself)."""

    token: str | None
    hosts: frozenset[str] = LOOPBACK_NAMES
    open_paths: frozenset[str] = field(default=frozenset({"/healthz", "/health"}))

    @staticmethod
    def names(bound: str, allowed: Iterable[str]) -> frozenset[str]:
        """Host header values to accept: loopback names, the bound address, and what the operator allows."""
        return LOOPBACK_NAMES | {bound} | set(allowed)


def plane_app(guard: Guard, metrics: Metrics, *, max_body_bytes: int = 8 * 2**20) -> web.Application:
    """An application with the shared middlewares, `/healthz` and, where only roles call, `/metrics`."""
    app = web.Application(middlewares=[_errors(), _guarded(guard)], client_max_size=max_body_bytes, handler_args={})
    app[METRICS] = metrics
    app.router.add_get("/healthz", _healthz)
    if guard.token is not None:  # what is going on here is no client's business
        app.router.add_get("/metrics", _metrics)
    return app


def error_response(error: CacheRouteError, request_id: str = "") -> web.Response:
    """OpenAI's error shape. The one place where an error becomes HTTP."""
    body = {
        "error": {
            "message": sanitise.for_terminal(error.message),
            "type": error.kind,
            "param": error.param,
            "code": error.error_code,
        }
    }
    headers = {**error.headers, REQUEST_ID_HEADER: request_id} if request_id else error.headers
    return json_response(body, status=error.status, headers=headers)


def json_response(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """`value` (structs too) as JSON."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )


@asynccontextmanager
async def serving(planes: Iterable[Plane], *, drain_s: float = 5.0) -> AsyncGenerator[None]:
    """The planes, listening. On leaving: no new connections, then up to `drain_s` for the requests in flight."""
    runners: list[web.AppRunner] = []
    try:
        for plane in planes:
            # handler_cancellation: a client that goes away cancels its handler, and with it all that it waits for
            runner = web.AppRunner(plane.app, handler_cancellation=True, shutdown_timeout=drain_s)
            await runner.setup()
            runners.append(runner)
            site = web.TCPSite(runner, plane.host, plane.port, backlog=1024, reuse_address=True)
            await site.start()
        yield
    finally:
        await asyncio.gather(*(runner.cleanup() for runner in reversed(runners)))


def run(role: str, planes: Callable[[], Awaitable[list[Plane]]], *, drain_s: float = 5.0) -> None:
    """A role's whole life: build the planes, serve them until SIGTERM or SIGINT, drain. Exits 1 on a start error."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        built = await planes()
        async with serving(built, drain_s=drain_s):
            where = ", ".join(f"{plane.host}:{plane.port}" for plane in built)
            log.info("%s listens on %s", role, where)
            stopped = asyncio.create_task(stop.wait())
            failures = [plane.app[FAILURE] for plane in built if FAILURE in plane.app]
            await asyncio.wait((stopped, *failures), return_when=asyncio.FIRST_COMPLETED)
            for failure in failures:
                if failure.done():  # whoever supervises starts it anew, or says why it cannot be started
                    raise Unavailable(failure.result())
            log.info("%s drains", role)

    import uvloop

    try:
        uvloop.run(main())
    except CacheRouteError as error:
        log.error("%s ends: %s", role, error.message)
        sys.exit(1)
    except OSError as error:
        log.error("%s ends: %s", role, error)
        sys.exit(1)


def _errors() -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        offered = request.headers.get(REQUEST_ID_HEADER, "")
        request[REQUEST_ID] = offered if _ID.fullmatch(offered) else new_request_id()
        try:
            return await handler(request)
        except CacheRouteError as error:
            if request.get(ANSWERING) and request.transport is not None:
                # The only honest end is a broken connection, not a complete-looking answer.
                request.transport.abort()
            return error_response(error, request[REQUEST_ID])
        except web.HTTPNotFound:
            return error_response(NotFound(f"there is no {request.method} {request.path}"), request[REQUEST_ID])
        except web.HTTPMethodNotAllowed as error:
            return error_response(WrongMethod(request.path, error.allowed_methods), request[REQUEST_ID])
        except RecursionError:  # from whatever reads, renders or writes JSON: all of it goes by the caller's nesting
            return error_response(BadRequest("the body is nested too deeply"), request[REQUEST_ID])
        except web.HTTPRequestEntityTooLarge:
            return error_response(TooLarge("the body is too large"), request[REQUEST_ID])

    return middleware


def _guarded(guard: Guard) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        _check_names(request, guard.hosts)
        if guard.token is not None and request.path not in guard.open_paths:
            check_bearer(request, guard.token)
        return await handler(request)

    return middleware


def check_bearer(request: web.Request, token: str) -> None:
    """Raises Unauthorized unless the request carries `token`. Compared in constant time."""
    offered = bearer(request)
    if not offered or not hmac.compare_digest(offered, token.encode()):
        raise Unauthorized("this call needs the stack's control token as a bearer token")


def bearer(request: web.Request) -> bytes:
    """The bearer token that the request carries, in whatever bytes; empty if it carries none."""
    scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
    return offered.strip().encode(errors="surrogateescape") if scheme.lower() == "bearer" else b""


def _check_names(request: web.Request, hosts: frozenset[str]) -> None:
    """A browser page of somebody else's must not reach us: by DNS rebinding (Host) or cross-site (Origin)."""
    try:
        host = request.url.host or ""
    except ValueError:  # it is no host at all
        host = ""
    if host not in hosts:
        raise Forbidden(f"Host {sanitise.for_line(host, 80)!r} is not served here; see [security] allowed_hosts")
    origin = request.headers.get("Origin")
    if origin is not None and (origin.partition("://")[2].rsplit(":", 1)[0].strip("[]")) not in hosts:
        raise Forbidden(f"Origin {sanitise.for_line(origin, 80)!r} is not served here; see [security] allowed_hosts")


async def _healthz(request: web.Request) -> web.Response:
    return json_response({"ok": True})


async def _metrics(request: web.Request) -> web.Response:
    body = prometheus_client.generate_latest(request.app[METRICS].registry)
    return web.Response(body=body, headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST})
