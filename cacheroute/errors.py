"""The one error tree, and the HTTP status of each branch. `service.error_response` turns it into JSON.

    CacheRouteError
    ├── ConfigError                  the configuration is wrong (never reaches HTTP)
    ├── BadRequest              400  the caller's body or fields are wrong
    │   └── ContextOverflow     400  the prompt does not fit the model's context
    ├── Unauthorized            401  no credential, or a wrong one
    ├── Forbidden               403  a credential that does not reach this far; a foreign Host or Origin
    ├── NotFound                404  no such model, document, route
    ├── WrongMethod             405  the route is there, but not for this method; carries Allow
    ├── TooSlow                 408  the body did not come in time
    ├── Conflict                409  the name is held by another live process
    ├── TooLarge                413  the body exceeds the limit
    ├── Overloaded              429  a bounded queue is full; carries Retry-After
    ├── OurMistake              500  nobody expected it: the log has the traceback, under the request's id
    ├── UpstreamFailed          502  the next hop answered nonsense or broke off
    ├── Unavailable             503  nobody is there to serve it; carries Retry-After
    └── DeadlineExceeded        504  the request's time is over

Knows nothing of sockets: a status here is a number, not a response.
"""

import math
from collections.abc import Iterable
from typing import ClassVar


class CacheRouteError(Exception):
    """Something a caller can be told. `message` says what is wrong and, where it can, what to do."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.error_code = code or self.code

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that belong to this error (Retry-After and the like)."""
        return {}


class ConfigError(CacheRouteError):
    """The configuration cannot be used. `problems` names every mistake, one line each."""

    code = "bad_config"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class BadRequest(CacheRouteError):
    status, kind, code = 400, "invalid_request_error", "bad_request"


class ContextOverflow(BadRequest):
    code = "context_length_exceeded"


class Unauthorized(CacheRouteError):
    status, kind, code = 401, "authentication_error", "invalid_api_key"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(CacheRouteError):
    status, kind, code = 403, "permission_error", "forbidden"


class NotFound(CacheRouteError):
    status, kind, code = 404, "invalid_request_error", "not_found"


class WrongMethod(CacheRouteError):
    status, kind, code = 405, "invalid_request_error", "method_not_allowed"

    def __init__(self, path: str, allowed: Iterable[str]) -> None:
        self._allowed = ", ".join(sorted(allowed))
        super().__init__(f"{path} takes {self._allowed}")

    @property
    def headers(self) -> dict[str, str]:
        return {"Allow": self._allowed}


class TooSlow(CacheRouteError):
    status, kind, code = 408, "invalid_request_error", "body_too_slow"


class Conflict(CacheRouteError):
    status, kind, code = 409, "invalid_request_error", "conflict"


class TooLarge(CacheRouteError):
    status, kind, code = 413, "invalid_request_error", "body_too_large"


class _Retryable(CacheRouteError):
    """An error that passes by itself: says after how many seconds to come back."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(max(1, math.ceil(self.retry_after_s)))}


class Overloaded(_Retryable):
    status, kind, code = 429, "rate_limit_error", "overloaded"


class OurMistake(CacheRouteError):
    """What an exception that no handler expects becomes for the caller; its own text may be anything and stays in."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"a mistake of ours, not of the request; the role's log explains it under {request_id}")


class UpstreamFailed(CacheRouteError):
    status, kind, code = 502, "server_error", "upstream_failed"


class Unavailable(_Retryable):
    status, kind, code = 503, "server_error", "unavailable"


class DeadlineExceeded(CacheRouteError):
    status, kind, code = 504, "server_error", "deadline_exceeded"
