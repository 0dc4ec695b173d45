"""The embedder role: one embedding model for the whole stack, as an OpenAI `/v1/embeddings` server.

The model lives in one thread of its own; the event loop only queues and answers.
"""

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from aiohttp import web

from cacheroute import service, tokens
from cacheroute.background import in_background
from cacheroute.config import Config
from cacheroute.embedder.batcher import Batcher
from cacheroute.embedder.config import EmbedderConfig
from cacheroute.embedder.model import Model, model_path
from cacheroute.errors import BadRequest, Unavailable
from cacheroute.incoming import read_struct
from cacheroute.service import Plane, json_response
from cacheroute.telemetry import Metrics, Stopwatch
from cacheroute.wire.embedding import EMBEDDINGS_PATH, Embedding, EmbeddingAnswer, EmbeddingRequest, Encoding, Kind
from knowledge.embedding import Vectors

log = logging.getLogger(__name__)


class Loaded(Protocol):
    """A model that is ready: what `Model` is."""

    @property
    def name(self) -> str: ...
    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors: ...


class Embedder:
    """The role's state: loading, then ready; or failed, with the reason. `load` runs in the model's thread."""

    def __init__(self, config: EmbedderConfig, metrics: Metrics, load: Callable[[EmbedderConfig], Loaded]) -> None:
        self._config = config
        self._load_model = load
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="embedding-model")
        self._batcher = Batcher(self._embed, self._executor, config.max_waiting)
        self._model: Loaded | None = None
        self._why = "the model is being loaded"
        self.failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._texts = metrics.counter("texts", "Texts embedded", "kind")
        self._ms = metrics.histogram("ms", "From request to vectors", "kind")
        metrics.gauge("waiting", "Texts that no batch has taken yet").set_function(lambda: self._batcher.waiting)

    async def running(self, app: web.Application) -> AsyncGenerator[None]:
        async with in_background(self._load()), self._batcher.running():
            yield
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def health(self, request: web.Request) -> web.Response:
        return json_response({"ok": True, "model": self._ready().name})

    async def embeddings(self, request: web.Request) -> web.Response:
        body = await read_struct(request, EmbeddingRequest)
        if not body.texts:
            raise BadRequest("input holds no text", param="input")
        model = self._ready()
        watch = Stopwatch()
        vectors = await self._batcher.embed(body.texts, body.kind)
        self._texts.labels(body.kind).inc(len(body.texts))
        self._ms.labels(body.kind).observe(watch.elapsed_ms)
        return json_response(answer(vectors, model.name, body.encoding_format))

    def _ready(self) -> Loaded:
        if self._model is None:
            raise Unavailable(f"the embedder is not ready: {self._why}", code="loading")
        return self._model

    def _embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        return self._ready().embed(texts, kind)

    async def _load(self) -> None:
        watch = Stopwatch()
        loop = asyncio.get_running_loop()
        try:
            model = await loop.run_in_executor(self._executor, self._load_model, self._config)
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            self._why = f"the model cannot be loaded: {error}"
            self.failure.set_result(self._why)
            return
        self._model = model
        log.info("model %s ready after %.0f ms", model.name, watch.elapsed_ms)


def answer(vectors: Vectors, model: str, encoding: Encoding) -> EmbeddingAnswer:
    """The vectors in OpenAI's shape."""
    if encoding == "base64":
        rows: list[list[float] | str] = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
    else:
        rows = np.asarray(vectors).tolist()
    return EmbeddingAnswer(data=[Embedding(embedding=row, index=i) for i, row in enumerate(rows)], model=model)


async def planes(config: Config, name: str) -> list[Plane]:
    """The embedder's one plane, for roles only. Raises ConfigError if the configured model is not there."""
    model_path(config.embedder)
    return [plane(config, Model.load)]


def plane(config: Config, load: Callable[[EmbedderConfig], Loaded]) -> Plane:
    """The plane of an embedder whose model is what `load` gives."""
    settings = config.embedder
    metrics = Metrics("embedder")
    embedder = Embedder(settings, metrics, load)
    return service.plane(
        settings.host,
        settings.port,
        config.security,
        metrics,
        [web.get("/health", embedder.health), web.post(EMBEDDINGS_PATH, embedder.embeddings)],
        token=tokens.ensure(config.paths.state_dir).control,
        running=embedder.running,
        failure=embedder.failure,
    )
