"""Who may call a plane: hosts and origins by name, and whoever has the control token. Knows no route."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from cacheroute import sanitise
from cacheroute.errors import Forbidden, Unauthorized

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN_PATHS = frozenset({"/healthz", "/health"})
"""Whoever supervises asks these, and has no token."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Hosts by name, and a bearer token (None: the plane checks credentials itself)."""

    token: str | None
    hosts: frozenset[str] = LOOPBACK_NAMES

    @staticmethod
    def names(bound: str, allowed: Iterable[str]) -> frozenset[str]:
        """Host header values to accept: loopback names, the bound address, and what the operator allows."""
        return LOOPBACK_NAMES | {bound} | set(allowed)

    def middleware(self) -> Middleware:
        """Raises Forbidden and Unauthorized before any handler runs."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            _check_names(request, self.hosts)
            if self.token is not None and request.path not in OPEN_PATHS:
                _check_bearer(request, self.token)
            return await handler(request)

        return guarded


def bearer(request: web.Request) -> bytes:
    """The bearer token that the request carries, in whatever bytes; empty if it carries none."""
    scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
    return offered.strip().encode(errors="surrogateescape") if scheme.lower() == "bearer" else b""


def _check_bearer(request: web.Request, token: str) -> None:
    offered = bearer(request)
    if not offered or not hmac.compare_digest(offered, token.encode()):  # in constant time
        raise Unauthorized("this call needs the stack's control token as a bearer token")


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
