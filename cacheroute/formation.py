"""The configuration as processes: which there are, what each needs, and how it shows that it is ready. Pure.

    kv store, embedder, scheduler -> kdn
    kv store -> engine ┐
    scheduler -> proxy ┴-> instance

What is configured as somebody else's (a kv store by url, an `openai` engine) is not started but must answer
before anything is. Knows no supervisor: `stack` runs what is formed here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from cacheroute.address import base_url, dialled
from cacheroute.config import Config
from cacheroute.engine.config import EngineConfig
from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.tokens import Tokens
from stack.plan import Plan, Service
from stack.probe import HttpProbe, Probe, RedisProbe, TcpProbe
from stack.procfile import Entry

DRAIN_S = 10.0
"""From SIGTERM to SIGKILL: twice what a role takes to drain."""
SPIN_COUNT = "1000"
"""How long an engine's compute threads spin for each other before they sleep. By libgomp's default, one neighbour that
takes a core makes a prefill ten times slower; sleeping at once costs a tail a few ms (docs/decisions/0006)."""
MODEL_START_S = 180.0
"""Loading a model from a cold disk takes its time; anything else is up in seconds."""


class External(Struct, frozen=True, kw_only=True):
    """A server of somebody else's that the stack needs."""

    name: str
    where: str
    """Its address, without credentials."""
    ready: Probe


class Formation(Struct, frozen=True, kw_only=True):
    services: tuple[Service, ...]
    externals: tuple[External, ...]

    def plan(self, entries: tuple[Entry, ...], directory: Path) -> Plan:
        """As the stack runs it. Raises stack.errors.PlanError."""
        return Plan(str(directory), entries, self.services)


def form(config: Config, tokens: Tokens, config_file: Path | None, env: Mapping[str, str]) -> Formation:
    """`config_file` (absolute) and the `CACHEROUTE_*` of `env` reach every process: all read one configuration."""
    shared = _environment(config, config_file, env)
    services = (
        *_kv_stores(config, tokens, shared),
        _embedder(config, shared),
        _scheduler(config, shared),
        *_kdns(config, tokens, shared),
        *_engines(config, shared),
        *_proxies(config, tokens, shared),
        *_instances(config, tokens, shared),
    )
    return Formation(services=services, externals=tuple(_externals(config)))


def is_started(settings: KvStoreConfig | EngineConfig) -> bool:
    """Whether it is ours to start, not somebody else's server."""
    return not (settings.kind == "openai" if isinstance(settings, EngineConfig) else settings.url)


def _environment(config: Config, config_file: Path | None, env: Mapping[str, str]) -> dict[str, str]:
    shared = {name: value for name, value in sorted(env.items()) if name.startswith("CACHEROUTE_")}
    shared.pop("CACHEROUTE_NAME", None)
    if config_file is not None:
        shared["CACHEROUTE_CONFIG"] = str(config_file)
    # Absolute, so that nothing depends on the directory in which a process is started.
    shared["CACHEROUTE_PATHS__STATE"] = str(config.paths.state_dir)
    shared["CACHEROUTE_PATHS__DATA"] = str(config.paths.data_dir)
    shared["HF_HUB_OFFLINE"] = "1"  # models are on disk before anything starts: nobody asks a hub
    if env.get("PYTHONDONTWRITEBYTECODE"):
        shared["PYTHONDONTWRITEBYTECODE"] = ""  # compiling torch and transformers at every start costs seconds
    return shared


def _kv_stores(config: Config, tokens: Tokens, shared: Mapping[str, str]) -> Iterator[Service]:
    for name, store in config.kvstore.items():
        if is_started(store):
            yield Service(
                name=name,
                entry="kvstore",
                env={**shared, "CACHEROUTE_NAME": name},
                ready=RedisProbe(host=dialled(store.host), port=store.port, password=tokens.kv_password),
                ports=((store.host, store.port),),
                grace_s=DRAIN_S,
            )


def _embedder(config: Config, shared: Mapping[str, str]) -> Service:
    embedder = config.embedder
    return Service(
        name="embedder",
        entry="embedder",
        # idle compute threads must sleep, not spin: the engine shares the cores
        env={**shared, "OMP_WAIT_POLICY": "PASSIVE"},
        ready=HttpProbe(url=base_url(embedder.host, embedder.port) + "/health"),
        ports=((embedder.host, embedder.port),),
        grace_s=DRAIN_S,
        start_timeout_s=MODEL_START_S,
    )


def _scheduler(config: Config, shared: Mapping[str, str]) -> Service:
    scheduler = config.scheduler
    return Service(
        name="scheduler",
        entry="scheduler",
        env=shared,
        ready=HttpProbe(url=base_url(scheduler.host, scheduler.control_port) + "/healthz"),
        ports=((scheduler.host, scheduler.port), (scheduler.host, scheduler.control_port)),
        grace_s=DRAIN_S,
    )


def _kdns(config: Config, tokens: Tokens, shared: Mapping[str, str]) -> Iterator[Service]:
    stores = tuple(name for name, store in config.kvstore.items() if is_started(store))
    for name, kdn in config.kdn.items():
        yield Service(
            name=name,
            entry="kdn",
            env={**shared, "CACHEROUTE_NAME": name},
            needs=("scheduler", "embedder", *stores),
            ready=_says(base_url(kdn.host, kdn.port), "registered", tokens),
            ports=((kdn.host, kdn.port),),
            grace_s=DRAIN_S,
        )


def _engines(config: Config, shared: Mapping[str, str]) -> Iterator[Service]:
    for name, engine in config.engine.items():
        if is_started(engine):
            store = config.kvstore.get(engine.kv_store)
            yield Service(
                name=name,
                entry="engine",
                env={"GOMP_SPINCOUNT": SPIN_COUNT, **shared, "CACHEROUTE_NAME": name},
                needs=(engine.kv_store,) if store is not None and is_started(store) else (),
                ready=HttpProbe(url=base_url(engine.host, engine.port) + "/health"),
                ports=((engine.host, engine.port),),
                grace_s=DRAIN_S,
                start_timeout_s=MODEL_START_S,
            )


def _proxies(config: Config, tokens: Tokens, shared: Mapping[str, str]) -> Iterator[Service]:
    for name, proxy in config.proxy.items():
        yield Service(
            name=name,
            entry="proxy",
            env={**shared, "CACHEROUTE_NAME": name},
            needs=("scheduler",),
            ready=_says(base_url(proxy.host, proxy.control_port), "registered", tokens),
            ports=((proxy.host, proxy.port), (proxy.host, proxy.control_port)),
            grace_s=DRAIN_S,
        )


def _instances(config: Config, tokens: Tokens, shared: Mapping[str, str]) -> Iterator[Service]:
    for name, instance in config.instance.items():
        engine = (instance.engine,) if is_started(config.engine[instance.engine]) else ()
        yield Service(
            name=name,
            entry="instance",
            env={**shared, "CACHEROUTE_NAME": name},
            needs=(*engine, instance.proxy),
            ready=_says(base_url(instance.host, instance.control_port), "ready", tokens),
            ports=((instance.host, instance.port), (instance.host, instance.control_port)),
            grace_s=DRAIN_S,
        )


def _says(url: str, what: str, tokens: Tokens) -> HttpProbe:
    return HttpProbe(url=url + "/debug/status", expect={what: True}, bearer=tokens.control)


def _externals(config: Config) -> Iterator[External]:
    for name, store in config.kvstore.items():
        if not is_started(store):
            parts = urlsplit(store.url)
            yield External(
                name=name, where=f"{parts.hostname or parts.path}:{parts.port or 6379}", ready=_redis(store.url)
            )
    for name, engine in config.engine.items():
        if not is_started(engine):
            url = engine.url.rstrip("/") + "/v1/models"
            yield External(name=name, where=engine.url, ready=HttpProbe(url=url, bearer=engine.api_key or None))


def _redis(url: str) -> Probe:
    """What a redis:// url answers to; over TLS only the port is looked at."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 6379
    if parts.scheme == "rediss":
        return TcpProbe(host=host, port=port)
    return RedisProbe(
        host=host,
        port=port,
        unix_socket=parts.path if parts.scheme == "unix" else None,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
