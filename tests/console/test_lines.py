from pathlib import Path

import pytest

from cacheroute.wire.control import InstanceRecord, KdnRecord, Listing, ProxyRecord
from cacheroute.wire.decision import RequestTrace
from cacheroute.wire.engine import EngineInfo, Fingerprint
from console.lines import fitted, head_line, request_lines, stack_lines, traffic_lines
from console.views import StackView, TrafficView
from stack.events import State
from stack.probe import Verdict
from stack.status import ServiceStatus, StackStatus, Usage


def service(name: str, state: State, why: str = "") -> ServiceStatus:
    return ServiceStatus(
        name=name,
        state=state,
        why=why,
        needs=(),
        ports=(("127.0.0.1", 7001),),
        log=str(Path("logs") / f"{name}.log"),
        last_lines=(),
        pid=17,
        uptime_s=3.0,
        ready=Verdict(state is State.READY),
        usage=Usage(12.0, 300 * 2**20),
    )


def stack(*services: ServiceStatus, pid: int | None = 1) -> StackView:
    return StackView(10.0, StackStatus(pid, 5.0, services))


ENGINE = EngineInfo(
    kind="embedded",
    model="tiny",
    max_model_len=100,
    fingerprint=Fingerprint(
        weights="w", tokenizer="t", template="c", dtype="bf16", chunk_tokens=64, block_tokens=64, kv_layout="x"
    ),
    key_model="tiny",
    kv_bytes_per_token=1,
)
INSTANCE = InstanceRecord(
    name="instance-1", boot_id="b", url="http://x", control_url="http://x", kv_store="kv-1", engine=ENGINE
)
PEERS = Listing(
    kdns=(KdnRecord(name="kdn-1", boot_id="b", url="http://x", epoch="e", seq=1, blocks=14, artifacts=9),),
    proxies=(
        ProxyRecord(
            name="pool-1", boot_id="b", url="http://x", control_url="http://x", queued=2, instances=(INSTANCE,)
        ),
        ProxyRecord(name="pool-2", boot_id="b", url="http://x", control_url="http://x"),
    ),
)
TRACE = RequestTrace(
    request_id="r",
    endpoint="chat",
    model="tiny",
    started_at="2026-01-02T03:04:05.678+00:00",
    status=200,
    knowledge=("k1",),
    pool="pool-1",
    instance="instance-1",
    injection="kv",
    reason="tokens 300 >= 128",
    ttft_ms=88.4,
)


def test_every_process_is_a_line_with_glyph_word_and_why() -> None:
    view = stack(service("kv-1", State.READY), service("engine-1", State.FAILED, "exited with status 1\nTraceback"))
    _, first, second = (line.plain for line in stack_lines(view, 80))
    assert "● READY" in first
    assert "✗ FAILED" in second
    assert "exited with status 1" in second
    assert "Traceback" not in second


@pytest.mark.parametrize("width", [20, 80, 200])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    traffic = TrafficView(1.0, PEERS, (TRACE,))
    view = stack(service("a-process-with-a-very-long-name-indeed", State.READY, "why " * 50))
    lines = [*stack_lines(view, width), *traffic_lines(traffic, width), *request_lines(traffic, width)]
    assert all(line.cell_length <= width for line in lines)


@pytest.mark.parametrize(
    ("view", "word"),
    [
        (None, "asking the stack"),
        (StackView(10.0, None, "supervisord does not answer"), "UNKNOWN"),
        (stack(service("kv-1", State.STOPPED), pid=None), "DOWN"),
        (stack(service("kv-1", State.READY)), "READY   1/1"),
        (stack(service("kv-1", State.STARTING)), "NOT READY   0/1"),
    ],
)
def test_the_head_says_how_the_whole_is(view: StackView | None, word: str) -> None:
    assert word in head_line(view, None, 10.5, 80).plain


def test_old_news_are_called_stale_with_their_age() -> None:
    view = stack(service("kv-1", State.READY))
    assert "live" in head_line(view, None, 11.0, 80).plain
    assert "stale 9 s" in head_line(view, None, 19.0, 80).plain
    assert "paused" in head_line(view, None, 19.0, 80, paused=True).plain


def test_the_oldest_news_on_the_screen_count() -> None:
    hung = TrafficView(2.0, PEERS)
    assert "stale 9 s" in head_line(stack(service("kv-1", State.READY)), hung, 11.0, 80).plain


def test_a_stack_that_cannot_be_asked_says_why() -> None:
    assert "no answer" in stack_lines(StackView(1.0, None, "no answer"), 80)[1].plain
    assert "cacheroute up" in stack_lines(StackView(1.0, StackStatus(None, None, ())), 80)[1].plain


def test_pools_show_their_instances_and_kdns_their_coverage() -> None:
    shown = "\n".join(line.plain for line in traffic_lines(TrafficView(1.0, PEERS), 80))
    assert "instance-1" in shown
    assert "tiny (embedded)" in shown
    assert "none" in shown
    assert "14" in shown


def test_a_decision_is_a_line_with_its_reason() -> None:
    line = request_lines(TrafficView(1.0, PEERS, (TRACE,)), 80)[1].plain
    assert line.startswith("03:04:05")
    assert all(piece in line for piece in ("200", "88 ms", "kv", "instance-1", "tokens 300 >= 128"))


def test_what_does_not_fit_is_counted() -> None:
    lines = stack_lines(stack(*(service(f"p-{number}", State.READY) for number in range(20))), 80)
    cut = fitted(lines, 10)
    assert len(cut) == 10
    assert "12 more" in cut[-1].plain
    assert fitted(lines, 30) == lines
