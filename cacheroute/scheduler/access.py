"""Who may ask, and which collections they see."""

import hmac

from aiohttp import web
from msgspec import Struct

from cacheroute.config import Security
from cacheroute.errors import Unauthorized
from cacheroute.guard import bearer


class Caller(Struct, frozen=True, kw_only=True):
    name: str
    collections: frozenset[str] | None
    """The collections that this caller sees; None: all."""


OPERATOR = Caller(name="operator", collections=None)
"""Whoever has the control token."""


class Access:
    """Checks API keys. Without any configured, everybody on this machine may ask (and nobody else can reach us)."""

    def __init__(self, security: Security, control_token: str) -> None:
        self._keys = security.api_keys
        self._control_token = control_token

    def caller(self, request: web.Request) -> Caller:
        """Raises Unauthorized."""
        offered = bearer(request)
        if hmac.compare_digest(offered, self._control_token.encode()):
            return OPERATOR
        if not self._keys:
            return Caller(name="local", collections=None)
        found = None
        for name, key in self._keys.items():  # every key is compared, so that time tells nothing
            if hmac.compare_digest(offered, key.key.encode()):
                found = Caller(name=name, collections=frozenset(key.collections) or None)
        if found is None:
            raise Unauthorized("an API key is needed: Authorization: Bearer <key>")
        return found
