"""What each role's aiohttp planes share: errors as JSON, health, metrics, and a main loop that drains.

A role's `app.py` says what answers on its planes; this builds and serves them, each behind its guard. Knows no role.
"""

import asyncio
import logging
import re
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import prometheus_client
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from cacheroute import sanitise
from cacheroute.config import Security
from cacheroute.errors import (
    BadRequest,
    CacheRouteError,
    NotFound,
    OurMistake,
    TooLarge,
    Unavailable,
    WrongMethod,
)
from cacheroute.guard import Guard
from cacheroute.telemetry import Metrics, new_request_id

log = logging.getLogger(__name__)

REQUEST_ID_HEADER = "X-Request-ID"
REQUEST_ID = web.RequestKey("request_id", str)
_ANSWERING = web.RequestKey("answering", bool)
"""Set once the headers of an answer go out, which nothing can take back."""
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
METRICS = web.AppKey("metrics", Metrics)


@dataclass(frozen=True, slots=True)
class Plane:
    """One listening address and what answers there."""

    host: str
    port: int
    app: web.Application
    failure: asyncio.Future[str] | None = None
    """Resolved with the reason when the role can never serve again: `run` then ends the process."""


def plane(
    host: str,
    port: int,
    security: Security,
    metrics: Metrics,
    routes: Iterable[web.AbstractRouteDef],
    *,
    token: str | None,
    max_body_bytes: int | None = None,
    running: Callable[[web.Application], AsyncIterator[None]] | None = None,
    failure: asyncio.Future[str] | None = None,
) -> Plane:
    """A role's plane: its routes behind its guard.

    `token`: what every caller needs; None where the routes check credentials themselves. `max_body_bytes`: else what
    a hop between roles may take. `running` opens what the routes use before the first request, and closes it after
    the last. `failure`: see `Plane`.
    """
    guard = Guard(token=token, hosts=Guard.names(host, security.allowed_hosts))
    app = plane_app(guard, metrics, max_body_bytes=max_body_bytes or security.inner_body_bytes)
    app.add_routes(routes)
    if running is not None:
        app.cleanup_ctx.append(running)
    return Plane(host, port, app, failure)


def plane_app(guard: Guard, metrics: Metrics, *, max_body_bytes: int = 8 * 2**20) -> web.Application:
    """An application with the shared middlewares, `/healthz` and, where only roles call, `/metrics`."""
    app = web.Application(middlewares=[_errors(), guard.middleware()], client_max_size=max_body_bytes, handler_args={})
    app[METRICS] = metrics
    app.on_response_prepare.append(_mark_answering)
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


async def counted(
    answering: Awaitable[web.StreamResponse], count: Callable[[str, Mapping[str, str]], None]
) -> web.StreamResponse:
    """The answer. Tells `count` its status (`cancelled` where the caller left first) and its headers."""
    status, headers = "500", dict[str, str]()  # what nobody expected becomes one
    try:
        response = await answering
        status, headers = str(response.status), dict(response.headers)
        return response
    except CacheRouteError as error:
        status = str(error.status)
        raise
    except asyncio.CancelledError:
        status = "cancelled"
        raise
    finally:
        count(status, headers)


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
            failures = [plane.failure for plane in built if plane.failure is not None]
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
        request_id = request[REQUEST_ID] = offered if _ID.fullmatch(offered) else new_request_id()
        try:
            return await handler(request)
        except CacheRouteError as error:
            return _failed(request, error)
        except web.HTTPNotFound:
            return _failed(request, NotFound(f"there is no {request.method} {request.path}"))
        except web.HTTPMethodNotAllowed as error:
            return _failed(request, WrongMethod(request.path, error.allowed_methods))
        except RecursionError:  # from whatever reads, renders or writes JSON: all of it goes by the caller's nesting
            return _failed(request, BadRequest("the body is nested too deeply"))
        except web.HTTPRequestEntityTooLarge:
            return _failed(request, TooLarge("the body is too large"))
        except web.HTTPException:  # aiohttp's own answers
            raise
        except aiohttp.ClientConnectionResetError:  # from our own writing: the client has left
            raise asyncio.CancelledError from None
        except Exception:
            log.exception("request %s: %s %s", request_id, request.method, sanitise.for_line(request.path))
            return _failed(request, OurMistake(request_id))

    return middleware


async def _mark_answering(request: web.Request, response: web.StreamResponse) -> None:
    request[_ANSWERING] = True


def _failed(request: web.Request, error: CacheRouteError) -> web.Response:
    if request.get(_ANSWERING) and request.transport is not None:
        request.transport.abort()  # the only honest end is a broken connection, not a complete-looking answer
    return error_response(error, request[REQUEST_ID])


async def _healthz(request: web.Request) -> web.Response:
    return json_response({"ok": True})


async def _metrics(request: web.Request) -> web.Response:
    body = prometheus_client.generate_latest(request.app[METRICS].registry)
    return web.Response(body=body, headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST})
