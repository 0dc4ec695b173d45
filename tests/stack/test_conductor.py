"""Whole stacks of real processes under a real supervisord: up in order, down in reverse, and what goes wrong."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from fakes.stack_bench import Bench

from stack import Entry, ExecProbe, Plan, PlanError, PortsTaken, Service, StackBusy, State, SupervisorError
from stack.conductor import Conductor
from stack.statedir import Record, StateDir
from stack.status import ServiceStatus, StackStatus


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - of other processes, no event is to be had
            await asyncio.sleep(0.02)


def named(status: StackStatus) -> dict[str, ServiceStatus]:
    return {service.name: service for service in status.services}


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


async def test_all_taken_ports_are_named_with_their_holders_and_nothing_is_started(bench: Bench) -> None:
    services = [bench.service("free"), bench.service("kv"), bench.service("kdn", "kv")]
    one, two = (socket.create_server(service.ports[0]) for service in services[1:])
    with one, two, pytest.raises(PortsTaken) as caught:
        await bench.conductor().up(bench.plan())
    assert [problem.partition(" ")[0] for problem in caught.value.problems] == ["kv:", "kdn:"]
    assert all(f"taken by pid {os.getpid()} " in problem for problem in caught.value.problems)
    assert bench.processes() == []
    assert (await bench.conductor().status()).pid is None


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
    assert "no-such-command" in report.failed["engine"]


async def test_the_stop_goes_in_reverse_and_leaves_nothing(bench: Bench) -> None:
    bench.service("kv")
    bench.service("kdn", "kv")
    bench.service("proxy", "kdn", options="--end-after 0.4")
    await bench.conductor().up(bench.plan())
    report = await bench.conductor().down()
    assert report.was_up
    assert report.killed == ()
    spans = bench.spans()
    assert spans["proxy"]["end"] < spans["kdn"]["end"] < spans["kv"]["end"]
    assert bench.states("kv")[-2:] == ["DRAINING", "STOPPED"]
    assert bench.processes() == []
    assert sorted(path.name for path in bench.state_dir.iterdir()) == [
        *("events.jsonl", "logs", "plan.json", "supervisord.conf", "up.lock")
    ]
    assert not (await bench.conductor().down()).was_up


async def test_what_does_not_end_in_its_grace_is_named_while_it_blocks_and_then_killed(bench: Bench) -> None:
    bench.service("kv")
    bench.service("engine", "kv", options="--ignore-term", grace_s=2)
    await bench.conductor().up(bench.plan())
    report = await bench.conductor().down()
    assert report.killed == ("engine",)
    whys = [event.why for event in bench.events if event.service == "engine"]
    assert "has not ended after 1 s; kv must wait" in whys
    assert whys[-1] == "killed: had not ended 2 s after SIGTERM"
    assert bench.processes() == []


async def test_children_end_with_a_supervisord_that_was_killed_and_the_next_up_starts_anew(bench: Bench) -> None:
    bench.service("kv")
    bench.service("kdn", "kv")
    first = await bench.conductor().up(bench.plan())
    os.kill(first.pid, signal.SIGKILL)

    async def gone() -> bool:
        return not bench.processes()

    await until(gone)
    status = await bench.conductor().status()
    assert status.pid is None
    assert {service.why for service in status.services} == {"ended with its supervisord"}
    second = await bench.conductor().up(bench.plan())
    assert second.ok
    assert not second.attached
    assert second.pid != first.pid


async def test_a_second_up_attaches_and_starts_only_what_does_not_run(bench: Bench) -> None:
    bench.service("kv")
    bench.service("kdn", "kv")
    first = await bench.conductor().up(bench.plan(), only=["kv"])
    kv_pid = named(await bench.conductor().status())["kv"].pid
    assert "kdn" not in bench.spans()
    second = await bench.conductor().up(bench.plan())
    assert second.attached
    assert (second.pid, second.running_before, second.started) == (first.pid, ("kv",), ("kdn",))
    assert bench.why("kv") == f"runs already, pid {kv_pid}"
    status = await bench.conductor().status()
    assert status.is_ready
    assert named(status)["kv"].pid == kv_pid


async def test_of_two_ups_at_once_one_starts_and_the_other_attaches(bench: Bench) -> None:
    bench.service("kv", options="--ready-after 0.2")
    reports = await asyncio.gather(*(bench.conductor().up(bench.plan()) for _ in range(2)))
    assert all(report.ok for report in reports)
    assert sorted(report.attached for report in reports) == [False, True]
    assert len({report.pid for report in reports}) == 1


async def test_an_impatient_up_is_told_who_is_at_work(bench: Bench) -> None:
    bench.service("kv")
    StateDir(bench.state_dir).prepare()
    with StateDir(bench.state_dir).lock(), pytest.raises(StackBusy, match=f"pid {os.getpid()} "):
        await bench.conductor().up(bench.plan(), patience_s=0)


async def test_only_some_go_down_with_what_needs_them(bench: Bench) -> None:
    bench.service("kv")
    bench.service("kdn", "kv")
    bench.service("proxy", "kdn")
    await bench.conductor().up(bench.plan())
    assert (await bench.conductor().down(only=["kdn"])).stopped == ("kdn", "proxy")
    states = {service.name: service.state.value for service in (await bench.conductor().status()).services}
    assert states == {"kv": "READY", "kdn": "STOPPED", "proxy": "STOPPED"}
    with pytest.raises(PlanError, match="no service 'ghost'"):
        await bench.conductor().down(only=["ghost"])
    assert (await bench.conductor().up(bench.plan())).started == ("kdn", "proxy")


async def test_a_changed_plan_holds_at_once_for_what_does_not_run_and_is_told_of_the_rest(bench: Bench) -> None:
    bench.service("kv")
    bench.service("kdn", "kv")
    plan = bench.plan()
    await bench.conductor().up(plan)
    await bench.conductor().down(only=["kdn"])
    changed = Plan(
        plan.directory,
        plan.entries,
        tuple(
            Service(name=s.name, entry=s.entry, ready=s.ready, env={**s.env, "NAME": s.name + "2"}, needs=s.needs)
            for s in plan.services
        ),
    )
    report = await bench.conductor().up(changed)
    assert report.ok
    assert report.outdated == ("kv",)
    assert set(bench.spans()) == {"kv", "kdn", "kdn2"}


async def test_what_a_crash_left_behind_does_not_stop_an_up(bench: Bench) -> None:
    bench.service("kv")
    state = StateDir(bench.state_dir)
    state.prepare()
    state.socket().write_text("not a socket")
    state.pidfile.write_text("999999")
    mine = psutil.Process()
    state.write_record(Record(mine.pid, mine.create_time() - 3600, 0.0, str(state.socket())))
    report = await bench.conductor().up(bench.plan())
    assert report.ok
    assert not report.attached


async def test_a_supervisord_that_lives_but_does_not_answer_is_not_doubled(bench: Bench) -> None:
    bench.service("kv")
    StateDir(bench.state_dir).prepare()
    state = StateDir(bench.state_dir)
    state.write_record(Record.of(os.getpid(), 0.0, state.socket()))
    with pytest.raises(SupervisorError, match=f"pid {os.getpid()} is this stack's supervisord"):
        await bench.conductor().up(bench.plan())
    state.forget()


async def test_a_supervisord_that_nobody_wrote_down_is_found_by_its_socket(bench: Bench) -> None:
    bench.service("kv")
    first = await bench.conductor().up(bench.plan())
    (bench.state_dir / "stack.json").unlink()
    second = await bench.conductor().up(bench.plan())
    assert (second.attached, second.pid) == (True, first.pid)
    assert (await bench.conductor().down()).was_up
    assert bench.processes() == []


async def test_a_service_that_was_ready_is_healed_and_its_status_says_how_it_is(bench: Bench) -> None:
    kv = bench.service("kv")
    await bench.conductor().up(bench.plan())

    async def steady() -> bool:  # supervisord gives a process up only before it has stayed up for a second
        (service,) = (await bench.conductor().status()).services
        return service.uptime_s is not None and service.uptime_s >= 2

    await until(steady)
    (before,) = (await bench.conductor().status()).services
    assert before.usage is not None
    assert before.usage.rss_bytes > 2**20
    assert before.ports == kv.ports
    assert before.last_lines == (f"listening on {kv.ports[0][1]}",)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)

    async def healed() -> bool:
        (service,) = (await bench.conductor().status()).services
        return service.state is State.READY and service.pid != before.pid

    await until(healed)


async def test_two_stacks_on_one_machine_do_not_meet(bench: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path / "other")
    try:
        other.root.mkdir()
        for each in (bench, other):
            each.service("kv")
        one, two = await asyncio.gather(*(each.conductor().up(each.plan()) for each in (bench, other)))
        assert one.pid != two.pid
        await bench.conductor().down()
        assert (await other.conductor().status()).is_ready
    finally:
        other.clean_up()


async def test_a_state_directory_too_deep_for_a_socket_works(bench: Bench) -> None:
    bench.state_dir = bench.root / ("deep" * 20) / ("er" * 40)
    bench.service("kv")
    assert (await bench.conductor().up(bench.plan())).ok
    socket_path = StateDir(bench.state_dir).socket()
    assert not socket_path.is_relative_to(bench.state_dir)
    await bench.conductor().down()
    assert not socket_path.parent.exists()


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


async def test_events_of_one_stack_are_numbered_on_over_several_commands(bench: Bench) -> None:
    bench.service("kv")
    for _ in range(2):
        await bench.conductor().up(bench.plan())
    await bench.conductor().down()
    assert [event.seq for event in bench.events] == list(range(1, len(bench.events) + 1))
    assert [event.at_ms for event in bench.events] == sorted(event.at_ms for event in bench.events)


async def test_an_up_that_is_cancelled_leaves_a_stack_that_can_be_completed(bench: Bench) -> None:
    bench.service("kv", options="--ready-after 0.5")
    bench.service("kdn", "kv")
    task = asyncio.create_task(bench.conductor().up(bench.plan()))

    async def starting() -> bool:
        return "STARTING" in bench.states("kv")

    await until(starting)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    report = await bench.conductor().up(bench.plan())
    assert report.ok
    assert report.attached
    assert report.running_before == ("kv",)


async def test_status_of_a_stack_that_never_was_is_empty_and_writes_nothing(tmp_path: Path) -> None:
    status = await Conductor(tmp_path / "state").status()
    assert status == StackStatus(None, None, ())
    assert not status.is_ready
    assert not (tmp_path / "state").exists()


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
