"""One TOML file, `CACHEROUTE_*` over it, one frozen struct per role, every mistake reported at once.

A process that holds a Config holds one that it can rely on: references resolve, ports differ, nothing is bound
beyond loopback without API keys. Reads files and the environment; opens nothing else.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from cacheroute.configfile import Sources, build, parse_toml, with_environment
from cacheroute.embedder.config import EmbedderConfig
from cacheroute.engine.config import EngineConfig
from cacheroute.errors import ConfigError
from cacheroute.instance.config import InstanceConfig
from cacheroute.kdn.config import KdnConfig
from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.proxy.config import ProxyConfig
from cacheroute.scheduler.config import SchedulerConfig

FILE_NAME = "cacheroute.toml"
KNOWLEDGE_BYTES = 8 * 2**20
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
"""Of a process: it stands in file names, urls, headers and programs' names."""


class Paths(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where things are kept; empty: the user's own directories as platformdirs names them."""

    state: str = ""
    """Logs, sockets, tokens: what may go when the stack is down."""
    data: str = ""
    """Knowledge, KV artifacts, models: what must stay."""

    @property
    def state_dir(self) -> Path:
        return _dir(self.state, "user_state_path")

    @property
    def data_dir(self) -> Path:
        return _dir(self.data, "user_data_path")


class ApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str
    collections: tuple[str, ...] = ()
    """The collections that this key sees; empty: all."""


class Security(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    api_keys: dict[str, ApiKey] = {}
    """Who may ask the scheduler, by a name of yours. None: anybody on this machine, nobody else."""
    allowed_hosts: tuple[str, ...] = ()
    """Host header values to accept besides loopback names and the bound address."""
    max_body_mb: int = 8
    """Of a client's request; between roles knowledge comes on top."""

    @property
    def max_body_bytes(self) -> int:
        """What a client may send."""
        return self.max_body_mb * 2**20

    @property
    def inner_body_bytes(self) -> int:
        """What one role may send another: a client's body, and beside it knowledge up to a context's length."""
        return self.max_body_bytes + KNOWLEDGE_BYTES


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration. Tables with names (`[kdn.NAME]`) may be repeated: several of each role may run."""

    paths: Paths = Paths()
    security: Security = Security()
    scheduler: SchedulerConfig = SchedulerConfig()
    embedder: EmbedderConfig = EmbedderConfig()
    kvstore: dict[str, KvStoreConfig] = msgspec.field(default_factory=lambda: {"kv-1": KvStoreConfig()})
    kdn: dict[str, KdnConfig] = msgspec.field(default_factory=lambda: {"kdn-1": KdnConfig()})
    engine: dict[str, EngineConfig] = msgspec.field(default_factory=lambda: {"engine-1": EngineConfig()})
    proxy: dict[str, ProxyConfig] = msgspec.field(default_factory=lambda: {"pool-1": ProxyConfig()})
    instance: dict[str, InstanceConfig] = msgspec.field(default_factory=lambda: {"instance-1": InstanceConfig()})

    def named(self, role: str, name: str | None) -> tuple[str, Any]:
        """The (name, settings) of one process of a role with several; without a name, the first. Raises ConfigError."""
        table: dict[str, Any] = getattr(self, role)
        if name is None:
            name = next(iter(table))
        if name not in table:
            raise ConfigError([f"there is no [{role}.{name}]; configured: {', '.join(table)}"])
        return name, table[name]


def load(path: str | os.PathLike[str] | None = None, env: Mapping[str, str] | None = None) -> Config:
    """The configuration from `path`, else from $CACHEROUTE_CONFIG, else ./cacheroute.toml, else the defaults.

    Raises ConfigError naming every mistake, each with its line or its environment variable.
    """
    env = os.environ if env is None else env
    named = path or env.get("CACHEROUTE_CONFIG")
    file = Path(named) if named else Path(FILE_NAME)
    text = ""
    if named or file.exists():
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([f"{file}: cannot be read: {error}"]) from error
    tree, sources = parse_toml(text, str(file))
    with_environment(tree, sources, env, Config)
    problems: list[str] = []
    config = build(Config, tree, (), sources, problems)
    if config is not None:
        problems += _problems(config, sources)
    if config is None or problems:
        raise ConfigError(problems)
    return config


def resolved_path(path: str | os.PathLike[str] | None, env: Mapping[str, str]) -> Path | None:
    """The file that `load` reads, made absolute for child processes; None where there is none."""
    named = path or env.get("CACHEROUTE_CONFIG")
    file = Path(named) if named else Path(FILE_NAME)
    return file.resolve() if named or file.exists() else None


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listeners(config: Config) -> list[tuple[tuple[str, ...], str, int]]:
    """Every (config path, host, port) that the stack itself binds."""
    found: list[tuple[tuple[str, ...], str, int]] = []

    def add(path: tuple[str, ...], role: Any) -> None:
        found.append(((*path, "port"), role.host, role.port))
        if hasattr(role, "control_port"):
            found.append(((*path, "control_port"), role.host, role.control_port))

    add(("scheduler",), config.scheduler)
    add(("embedder",), config.embedder)
    for table in ("kvstore", "kdn", "engine", "proxy", "instance"):
        for name, role in getattr(config, table).items():
            if not getattr(role, "url", ""):
                add((table, name), role)
    return found


def _problems(config: Config, sources: Sources) -> list[str]:
    """What no single field can see: references, ports, exposure."""
    problems: list[str] = []

    def report(path: tuple[str, ...], text: str) -> None:
        problems.append(f"{sources.where(path)}: {'.'.join(path)}: {text}")

    for role in ("kvstore", "kdn", "engine", "proxy", "instance"):
        if not getattr(config, role):
            report((role,), f"at least one [{role}.NAME] is needed")
        for name in getattr(config, role):
            if not NAME.fullmatch(name):
                report((role, name), f"{name!r} is no name: letters, digits, '-', '_' and '.', up to 64 of them")
    for name, instance in config.instance.items():
        if instance.proxy not in config.proxy:
            report(("instance", name, "proxy"), f"there is no [proxy.{instance.proxy}]")
        if instance.engine not in config.engine:
            report(("instance", name, "engine"), f"there is no [engine.{instance.engine}]")
    for name, engine in config.engine.items():
        if engine.kind == "openai" and not engine.url:
            report(("engine", name, "url"), 'an engine of kind "openai" needs its url')
        if engine.kind == "embedded" and engine.url:
            report(("engine", name, "url"), 'an engine of kind "embedded" is started here and has no url')
        if engine.kind == "embedded" and engine.kv_store and engine.kv_store not in config.kvstore:
            report(("engine", name, "kv_store"), f"there is no [kvstore.{engine.kv_store}]")
    for name, store in config.kvstore.items():
        if store.url and not store.url.startswith(("redis://", "rediss://", "unix://")):
            report(("kvstore", name, "url"), "must begin with redis://, rediss:// or unix://")
    for path, role in (
        (("scheduler",), config.scheduler),
        *((("proxy", name), each) for name, each in config.proxy.items()),
    ):
        if role.lease_renew_s >= role.lease_ttl_s:
            report((*path, "lease_renew_s"), f"must be below lease_ttl_s ({role.lease_ttl_s})")
    for name, api_key in config.security.api_keys.items():
        if not api_key.key:  # who sends no key would be let in by it
            report(("security", "api_keys", name, "key"), "is empty")
    bound = listeners(config)
    for path, _, port in bound:
        if not 0 < port < 65536:
            report(path, f"{port} is no port (1 to 65535)")
    for (path, _, port), (other, _, other_port) in combinations(bound, 2):
        if port == other_port:
            report(other, f"port {port} is already that of {'.'.join(path[:-1])}")
    for path, host, _ in bound:
        if path[-1] == "port" and not is_loopback(host) and not config.security.api_keys:
            report((*path[:-1], "host"), f"{host} is beyond loopback: set [security.api_keys] first")
    return problems


def _dir(configured: str, platform: str) -> Path:
    if configured:
        return Path(configured).expanduser().resolve()
    import platformdirs  # here, not above: `--help` must not pay for it

    return Path(getattr(platformdirs, platform)("cacheroute"))
