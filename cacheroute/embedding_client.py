"""How a role asks the embedder: texts in, a float32 array out. Knows no model.

Long lists go in batches, one after the other: the embedder is shared, and its queue is bounded.
"""

import base64
import binascii
from collections.abc import Sequence

import aiohttp
import msgspec
import numpy as np
from numpy.typing import NDArray

from cacheroute.errors import CacheRouteError, Overloaded, Unavailable, UpstreamFailed
from cacheroute.wire.embedding import EMBEDDINGS_PATH, EmbeddingAnswer, EmbeddingRequest, Kind

BATCH_TEXTS = 32


class EmbeddingClient:
    """One embedder at `url`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str, *, timeout_s: float = 30.0) -> None:
        self._session = session
        self._url = url + EMBEDDINGS_PATH
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """Vectors of shape [len(texts), dimensions], in order; [0, 0] for no texts.

        Raises Unavailable where nobody answers or the model is still loading, Overloaded where the queue is full,
        UpstreamFailed for anything else.
        """
        if not texts:
            return np.empty((0, 0), np.float32)
        parts = [await self._batch(texts[at : at + BATCH_TEXTS], kind) for at in range(0, len(texts), BATCH_TEXTS)]
        return np.concatenate(parts)

    async def _batch(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        body = msgspec.json.encode(EmbeddingRequest(input=list(texts), kind=kind, encoding_format="base64"))
        try:
            async with self._session.post(
                self._url, data=body, headers=self._headers, timeout=self._timeout
            ) as response:
                answer = await response.read()
                if response.status != 200:
                    raise _refused(response, answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"the embedder cannot be reached ({type(error).__name__})") from error
        return _vectors(answer, len(texts))


def _refused(response: aiohttp.ClientResponse, body: bytes) -> CacheRouteError:
    why = f"the embedder answered HTTP {response.status}: {body[:300].decode(errors='replace')}"
    retry_after_s = float(response.headers.get("Retry-After", "1"))
    match response.status:
        case 429:
            return Overloaded(why, retry_after_s=retry_after_s)
        case 503:
            return Unavailable(why, retry_after_s=retry_after_s)
        case _:
            return UpstreamFailed(why)


def _vectors(body: bytes, rows: int) -> NDArray[np.float32]:
    try:
        data = msgspec.json.decode(body, type=EmbeddingAnswer).data
        decoded = [np.frombuffer(base64.b64decode(str(item.embedding), validate=True), "<f4") for item in data]
        vectors = np.stack(decoded).astype(np.float32, copy=False)
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise UpstreamFailed(f"the embedder's answer cannot be read: {error}") from error
    if len(vectors) != rows:
        raise UpstreamFailed(f"the embedder answered {len(vectors)} vectors for {rows} texts")
    return vectors
