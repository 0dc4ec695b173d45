"""What holds for every module of the five packages, read from their source: what no linter here checks."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec import Struct
from msgspec.structs import fields

from cacheroute.config import Config

ROOT = Path(__file__).parents[1]
PACKAGES = ("cacheroute", "knowledge", "profiles", "stack", "console")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST_MODULE = 250


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def wall_clock_reads(tree: ast.Module) -> list[str]:
    """Every place that asks the wall clock in another form than the two allowed, as `line: source`.

    A stamp for people is `datetime.now(UTC)`; the whole seconds of OpenAI's `created` are `int(time.time())`. Neither
    lends itself to a subtraction, and durations are time.monotonic() or time.perf_counter().
    """
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    stamps = {id(call.args[0]) for call in calls if ast.unparse(call) == "int(time.time())"}
    found = [call for call in calls if id(call) not in stamps and _asks_the_wall_clock(call)]
    imported = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time" and any("time" in a.name for a in node.names)
    ]
    return [f"{node.lineno}: {ast.unparse(node)}" for node in (*found, *imported)]


def _asks_the_wall_clock(call: ast.Call) -> bool:
    match ast.unparse(call.func).rpartition("."):
        case ("time", _, "time" | "time_ns" | "localtime" | "gmtime" | "ctime" | "strftime"):
            return True
        case (_, _, "utcnow" | "today"):
            return True
        case ("datetime" | "datetime.datetime", _, "now"):
            return [ast.unparse(argument) for argument in call.args] != ["UTC"]
        case _:
            return False


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("time.time()", 1),
        ("began = time.time() - 3", 1),
        ("time.time_ns() // 10**6", 1),
        ("from time import time", 1),
        ("datetime.now()", 1),
        ("datetime.utcnow()", 1),
        ("int(time.time() - began)", 1),
        ("int(time.time())", 0),
        ("datetime.now(UTC).isoformat()", 0),
        ("time.monotonic() + time.perf_counter() + entry.time()", 0),
    ],
)
def test_the_rule_about_clocks_knows_a_stamp_from_a_duration(source: str, count: int) -> None:
    assert len(wall_clock_reads(ast.parse(source))) == count


def test_no_duration_is_taken_from_the_wall_clock() -> None:
    """D27: a step of the clock must not corrupt a timeline."""
    assert {path: reads for path in MODULES if (reads := wall_clock_reads(parsed(path)))} == {}


def test_every_module_says_what_it_is_for() -> None:
    """An empty file, which only makes a folder a package, has nothing to say."""
    assert [path for path in MODULES if parsed(path).body and not ast.get_docstring(parsed(path))] == []


def test_no_module_has_grown_beyond_one_subject() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {path: count for path, count in lines.items() if count > LONGEST_MODULE} == {}


def test_every_module_that_calls_itself_pure_is_held_to_be() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    held = next(contract["source_modules"] for contract in contracts if "Deciding" in contract["name"])
    pure = [path for path in MODULES if re.search(r"\bPure[.:;]", ast.get_docstring(parsed(path)) or "")]
    assert {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in pure} <= set(held)


def test_tests_are_no_package() -> None:
    """`tests` stands on the path of imports: with an `__init__.py`, tests/stack would hide stack."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_an_import_name_means_this_tree_and_nobody_else_claims_it(package: str) -> None:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve() == (ROOT / package / "__init__.py").resolve()
    assert set(packages_distributions().get(package, ())) <= {"cacheroute"}


def settings(kind: Any) -> Iterator[tuple[type, str]]:
    """Every key of the configuration, with the struct that it belongs to."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        for field in fields(kind):
            yield kind, field.name
            yield from settings(field.type)
    for inner in get_args(kind):
        yield from settings(inner)


def test_every_setting_is_read_somewhere() -> None:
    read = {
        node.attr
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    assert [f"{kind.__name__}.{name}" for kind, name in settings(Config) if name not in read] == []
