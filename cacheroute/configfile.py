"""TOML and environment -> strict structs, collecting every mistake with its line. Knows no role and no key."""

import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from cacheroute.errors import ConfigError

T = TypeVar("T", bound=Struct)
Path = tuple[str, ...]

PREFIX = "CACHEROUTE_"
NOT_SETTINGS = frozenset(
    {"CACHEROUTE_CONFIG", "CACHEROUTE_NAME", "CACHEROUTE_EVAL_DATA"}
    | {"CACHEROUTE_CORPUS", "CACHEROUTE_BENCH_KEEP", "CACHEROUTE_BENCH_FILES"}
)
"""Variables of ours that are no config keys."""

_TABLE = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_.\"'-]+)\s*=")


class Sources:
    """Where each key was said: a line of the file, or an environment variable."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._said: dict[Path, str] = {}

    def say(self, path: Path, where: str) -> None:
        self._said[path] = where

    def say_first(self, path: Path, where: str) -> None:
        """As `say`, unless something was said already."""
        self._said.setdefault(path, where)

    def where(self, path: Path) -> str:
        """The nearest thing said about `path`: its own line, else that of the table around it."""
        for depth in range(len(path), 0, -1):
            if path[:depth] in self._said:
                return self._said[path[:depth]]
        return self.file


def parse_toml(text: str, file: str) -> tuple[dict[str, Any], Sources]:
    """The parsed tree and where each key stands. Raises ConfigError for a syntax error."""
    sources = Sources(file)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{file}: {error}"]) from error
    table: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.match(line):
            table = _split(header[1])
            sources.say(table, f"{file}:{number}")
        elif key := _KEY.match(line):
            sources.say((*table, *_split(key[1])), f"{file}:{number}")
    return tree, sources


def with_environment(tree: dict[str, Any], sources: Sources, env: Mapping[str, str], root: type[Struct]) -> None:
    """Lays `CACHEROUTE_SCHEDULER__PORT=7101` over the tree: `__` separates levels, `_` matches `-` in a name."""
    for variable in sorted(env):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        path = tuple(variable.removeprefix(PREFIX).lower().split("__"))
        node, kind, at = tree, cast(Any, root), list[str]()
        for level, part in enumerate(path):
            named = get_origin(kind) is dict
            if named:
                part = next((key for key in node if key.replace("-", "_") == part), part.replace("_", "-"))
                kind = get_args(kind)[1]
            else:
                kind = next((field.type for field in _fields(kind) if field.name == part), None)
            at.append(part)
            if level == len(path) - 1:
                node[part] = _scalar(env[variable], kind)
            else:
                node = node.setdefault(part, {})
                if not isinstance(node, dict):
                    break
        sources.say(tuple(at), f"${variable}")
        for depth in range(1, len(at)):  # a table that only this variable speaks of
            sources.say_first(tuple(at[:depth]), f"${variable}")


def build(kind: type[T], tree: Any, path: Path, sources: Sources, problems: list[str]) -> T | None:
    """A `kind` from `tree`, or None with every mistake appended to `problems`."""
    if not isinstance(tree, dict):
        problems.append(f"{sources.where(path)}: {'.'.join(path)}: must be a table")
        return None
    before = len(problems)
    fields = {field.name: field for field in _fields(kind)}
    values: dict[str, Any] = {}
    for key, value in cast(dict[str, Any], tree).items():
        here = (*path, key)
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(fields)}"
            problems.append(f"{sources.where(here)}: {'.'.join(here)}: unknown key{hint}")
            continue
        values[key] = _value(fields[key].type, value, here, sources, problems)
    if len(problems) > before:
        return None
    try:
        return kind(**values)
    except TypeError as error:  # a required field is missing
        problems.append(f"{sources.where(path)}: {'.'.join(path)}: {error}")
        return None


def _value(kind: Any, value: Any, path: Path, sources: Sources, problems: list[str]) -> Any:
    if isinstance(kind, type) and issubclass(kind, Struct):
        return build(kind, value, path, sources, problems)
    if get_origin(kind) is dict and isinstance(value, dict):
        inner = get_args(kind)[1]
        return {
            name: _value(inner, item, (*path, name), sources, problems)
            for name, item in cast(dict[str, Any], value).items()
        }
    try:
        converted = msgspec.convert(value, kind, strict=not isinstance(value, _FromEnv))
    except msgspec.ValidationError as error:
        problems.append(f"{sources.where(path)}: {'.'.join(path)}: {error}")
        return None
    if isinstance(converted, int | float) and not 0 <= converted < math.inf:  # ports, limits, seconds: never that
        problems.append(f"{sources.where(path)}: {'.'.join(path)}: {converted} is not a number from 0 on")
    return converted


class _FromEnv(str):
    """Text from the environment: numbers and booleans in it are read leniently."""

    __slots__ = ()


def _scalar(text: str, kind: Any) -> Any:
    if get_origin(kind) in (tuple, list):
        return [part.strip() for part in text.split(",") if part.strip()]
    return _FromEnv(text)


def _fields(kind: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind) if isinstance(kind, type) and issubclass(kind, Struct) else ()


def _split(dotted: str) -> Path:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
