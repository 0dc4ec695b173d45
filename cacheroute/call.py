"""One role asks another: a struct goes out as JSON, a struct comes back. Knows no route and no role."""

from typing import TypeVar

import aiohttp
import msgspec
from msgspec import Struct

from cacheroute.errors import Unavailable, UpstreamFailed

T = TypeVar("T", bound=Struct)


async def post(
    session: aiohttp.ClientSession,
    url: str,
    body: Struct,
    kind: type[T],
    *,
    peer: str,
    token: str,
    timeout_s: float | None,
) -> T:
    """The answer as a `kind`. `peer` is whom an error names; without `timeout_s` whoever calls sees to it that it ends.

    Raises Unavailable where nobody answers, UpstreamFailed where the answer is an error or no `kind`.
    """
    try:
        async with session.post(
            url,
            data=msgspec.json.encode(body),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as response:
            answer = await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"{peer} did not answer: {str(error) or type(error).__name__}") from error
    path = response.url.path
    if response.status != 200:
        why = answer[:300].decode(errors="replace")
        raise UpstreamFailed(f"{peer} answered {path} with HTTP {response.status}: {why}")
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.DecodeError as error:
        raise UpstreamFailed(f"{peer} answered {path} with something else: {error}") from error
