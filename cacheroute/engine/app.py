"""The engine role: an OpenAI server over the embedded engine, for roles only.

It listens at once and says why it is not ready; the model is loaded in a thread, and one token answered, first.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator

from aiohttp import web

from cacheroute import tokens
from cacheroute.background import in_background
from cacheroute.config import Config
from cacheroute.engine.config import EngineConfig
from cacheroute.engine.metrics import EngineMetrics
from cacheroute.engine.openai.ask import Ask, completion_prompt
from cacheroute.engine.openai.backend import Backend
from cacheroute.engine.openai.fields import Fields, wrong
from cacheroute.engine.openai.messages import conversation
from cacheroute.engine.openai.routes import OpenAIRoutes, check_model
from cacheroute.engine.prepare import Progress
from cacheroute.errors import CacheRouteError, ConfigError, Unavailable
from cacheroute.incoming import read_body
from cacheroute.service import Plane, json_response, plane
from cacheroute.telemetry import Metrics, Stopwatch
from cacheroute.tokens import Tokens

log = logging.getLogger(__name__)


async def planes(config: Config, name: str) -> list[Plane]:
    """The plane of engine `name`. Raises ConfigError for one that is somebody else's to start."""
    settings = config.engine[name]
    if settings.kind != "embedded":
        raise ConfigError([f"engine {name} is of kind {settings.kind}: it is not started here"])
    return [EngineRole(config, name, settings, tokens.ensure(config.paths.state_dir)).plane()]


class EngineRole:
    """The role's state: loading, then ready; or failed, with the reason."""

    def __init__(self, config: Config, name: str, settings: EngineConfig, stack_tokens: Tokens) -> None:
        self._config = config
        self._name = name
        self._settings = settings
        self._tokens = stack_tokens
        self._metrics = Metrics("engine")
        self._counts = EngineMetrics(self._metrics)
        self._backend: Backend | None = None
        self._why = "the model is being loaded"
        self._failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def plane(self) -> Plane:
        routes = [
            web.get("/health", self._health),
            web.get("/v1/engine", self._describe),
            web.post("/tokenize", self._tokenize),
            web.post("/detokenize", self._detokenize),
            web.post("/reset_prefix_cache", self._reset_prefix_cache),
            *OpenAIRoutes(self._ready, self._name, self._counts).all(),
        ]
        return plane(
            self._settings.host,
            self._settings.port,
            self._config.security,
            self._metrics,
            routes,
            token=self._tokens.control,
            running=self._running,
            failure=self._failure,
        )

    async def _running(self, app: web.Application) -> AsyncGenerator[None]:
        async with in_background(self._start()):
            yield
        if self._backend is not None:
            await self._backend.close()

    async def _start(self) -> None:
        watch = Stopwatch()
        try:
            backend = await asyncio.to_thread(self._load)
        except (CacheRouteError, OSError, ValueError, RuntimeError, ImportError) as error:
            self._fail(f"the model cannot be loaded: {error}")
            return
        try:
            await _answer_one_token(backend)
        except CacheRouteError as error:
            self._fail(f"the model does not answer: {error.message}")
            await backend.close()
            return
        self._backend = backend
        log.info("engine %s ready after %.0f ms: %s", self._name, watch.elapsed_ms, backend.info.model)

    def _fail(self, why: str) -> None:
        self._why = why
        if not self._failure.done():
            self._failure.set_result(why)

    def _load(self) -> Backend:
        from cacheroute.engine.embedded.load import load_engine  # here: torch takes seconds to import

        return load_engine(self._config, self._settings, self._tokens, self._counts, self._preparing)

    def _preparing(self, progress: Progress) -> None:
        percent = f" ({100 * progress.done // progress.total} %)" if progress.total else ""
        self._why = f"the model is being prepared: {progress.step}{percent}"

    def _ready(self) -> Backend:
        if self._backend is None:
            raise Unavailable(f"the engine is not ready: {self._why}", code="loading")
        if not self._backend.alive:
            self._fail("the engine's compute thread died")
            raise Unavailable("the engine's compute thread died; it is being restarted", code="dead")
        return self._backend

    async def _health(self, request: web.Request) -> web.Response:
        return json_response({"ok": True, "model": self._ready().info.model})

    async def _describe(self, request: web.Request) -> web.Response:
        return json_response(self._ready().info)

    async def _tokenize(self, request: web.Request) -> web.Response:
        backend, fields = self._ready(), Fields.decode(await read_body(request))
        if fields.raw("model") is not None:
            check_model(backend, fields.text("model"))
        if fields.raw("messages") is not None:
            prompt = conversation(fields, add_generation_prompt=fields.flag("add_generation_prompt", True))
        else:
            prompt = completion_prompt(fields)
            if not isinstance(prompt, str):
                raise wrong("prompt", "must be a text")
        ids = await backend.tokenize(prompt, add_special_tokens=fields.flag("add_special_tokens", True))
        return json_response({"count": len(ids), "max_model_len": backend.info.max_model_len, "tokens": ids})

    async def _detokenize(self, request: web.Request) -> web.Response:
        backend, fields = self._ready(), Fields.decode(await read_body(request))
        return json_response({"prompt": await backend.detokenize(fields.token_ids("tokens"))})

    async def _reset_prefix_cache(self, request: web.Request) -> web.Response:
        return json_response(await self._ready().reset_prefix_cache())


async def _answer_one_token(backend: Backend) -> None:
    """Shows that the whole way works; the prompt is shorter than a chunk, so nothing of it is kept."""
    ask = Ask(endpoint="completions", model=backend.info.model, prompt=(1, 2, 3), max_tokens=2, temperature=0.0)
    async with backend.generating(ask) as stream:
        while (await stream.next()).finish is None:
            pass
