"""Whole stacks under a real supervisord: attaching, two at once, leftovers of a crash, changed plans."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import psutil
import pytest
from fakes.stack_bench import Bench, named
from fakes.until import until

from stack import Plan, PortsTaken, Service, StackBusy, SupervisorError
from stack.statedir import Record, StateDir


async def test_all_taken_ports_are_named_with_their_holders_and_nothing_is_started(bench: Bench) -> None:
    services = [bench.service("free"), bench.service("kv"), bench.service("kdn", "kv")]
    one, two = (socket.create_server(service.ports[0]) for service in services[1:])
    with one, two, pytest.raises(PortsTaken) as caught:
        await bench.conductor().up(bench.plan())
    assert [problem.partition(" ")[0] for problem in caught.value.problems] == ["kv:", "kdn:"]
    assert all(f"taken by pid {os.getpid()} " in problem for problem in caught.value.problems)
    assert bench.processes() == []
    assert (await bench.conductor().status()).pid is None


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
