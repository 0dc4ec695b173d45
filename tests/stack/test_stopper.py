"""The way down: dependants first, and whoever holds it up is named before it is killed."""

import pytest
from fakes.stack_bench import Bench

from stack import PlanError


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
