"""The way up: gated on readiness, concurrent along the graph, and plain about what failed and why."""

import json
import sys
import time
from pathlib import Path

import pytest
from fakes.stack_bench import Bench, named

from stack import Entry, ExecProbe, Plan, Service, State


async def test_a_service_starts_when_what_it_needs_is_ready_and_not_merely_running(bench: Bench) -> None:
    bench.service("kv", options="--ready-after 0.4")
    bench.service("kdn", "kv")
    report = await bench.conductor().up(bench.plan())
    assert report.ok
    assert report.started == ("kv", "kdn")
    spans = bench.spans()
    assert spans["kdn"]["begin"] >= spans["kv"]["ready"]
    assert bench.states("kdn") == ["PENDING", "WAIT", "STARTING", "READY"]
    assert [event.seq for event in bench.events] == list(range(1, len(bench.events) + 1))


async def test_services_that_do_not_need_each_other_start_at_the_same_time(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.service(name, options="--ready-after 0.8")
    await bench.conductor().up(bench.plan())
    spans = bench.spans()
    assert max(span["begin"] for span in spans.values()) < min(span["ready"] for span in spans.values())


async def test_a_service_that_ends_at_once_fails_with_its_last_log_lines(bench: Bench) -> None:
    bench.service("kv")
    bench.service("engine", "kv", options="--exit-after 0 --status 3")
    bench.service("instance", "engine")
    report = await bench.conductor().up(bench.plan())
    assert list(report.failed) == ["engine", "instance"]
    first, *log = report.failed["engine"].splitlines()
    assert first.startswith("exit status 3, ")
    assert log == ["engine cannot find its model"]
    assert bench.states("engine")[-1] == "FAILED"
    assert bench.why("instance") == "not started: needs engine, which is not READY"
    status = named(await bench.conductor().status())
    assert (status["kv"].state, status["engine"].state) == (State.READY, State.FAILED)
    assert status["engine"].why == report.failed["engine"]
    assert "instance" not in bench.spans()


async def test_a_service_that_is_never_ready_fails_in_time_with_the_probes_reason(bench: Bench) -> None:
    bench.service("engine", options="--never-ready", start_timeout_s=0.8)
    report = await bench.conductor().up(bench.plan())
    assert report.took_s < 5
    assert report.failed["engine"].startswith("not ready within 0.8 s: http://127.0.0.1:")
    assert 'answers 503, not 200: {"ready": false}' in report.failed["engine"]
    assert bench.processes() == []


async def test_a_command_that_does_not_exist_fails_by_name(bench: Bench) -> None:
    service = bench.service("engine")
    plan = Plan(str(bench.root), (Entry("engine", "no-such-command --now", 1),), (service,))
    report = await bench.conductor().up(plan)
    assert report.failed["engine"].endswith("startProcess engine: NO_FILE: can't find command 'no-such-command'")


async def test_awkward_words_and_values_reach_the_process_as_they_are(bench: Bench) -> None:
    words = ["a ; b # c", "100%", "%(ENV_HOME)s", 'it\'s "so"', "é"]
    env = {"BENCH": str(bench.root), "JSON": '{"a": [1, "b"]}', "PERCENT": "50%", "EMPTY": ""}
    script = bench.root / "echo.py"
    script.write_text(
        "import json, os, sys, time\n"
        "with open('said.new', 'w') as file: json.dump([sys.argv[1:], dict(os.environ)], file)\n"
        "os.rename('said.new', 'said')\n"
        "time.sleep(60)\n"
    )
    quoted = " ".join("'" + word.replace("'", "'\"'\"'") + "'" for word in words)
    service = Service(name="echo-1", entry="echo", ready=ExecProbe(("test", "-e", str(bench.root / "said"))), env=env)
    plan = Plan(str(bench.root), (Entry("echo", f"{sys.executable} echo.py {quoted}", 1),), (service,))
    assert (await bench.conductor().up(plan)).ok
    argv, environment = json.loads((bench.root / "said").read_text())
    assert argv == words
    assert environment.items() >= env.items()
    assert environment["PYTHONSAFEPATH"] == "1"
    assert environment["PATH"].startswith(str(Path(sys.executable).parent))


@pytest.mark.slow
async def test_fifty_services_come_up_within_their_critical_chain_and_a_little(bench: Bench) -> None:
    for i in range(50):
        bench.service(f"s{i:02}", *([f"s{i - 10:02}"] if i >= 10 else []), options="--ready-after 0.1")
    begun = time.monotonic()
    report = await bench.conductor().up(bench.plan())
    assert report.ok
    assert time.monotonic() - begun < 60
    assert (await bench.conductor().down()).killed == ()
    assert bench.processes() == []
