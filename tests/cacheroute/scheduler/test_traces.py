import pytest

from cacheroute.scheduler.traces import AnswerTail, TraceRing, flatten
from cacheroute.wire.decision import HopReport, RequestTrace


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_usage_is_found_at_the_end_however_the_answer_was_cut(cut):
    answer = (
        b'data: {"x":1}\n\n' * 900 + b'data: {"usage":{"prompt_tokens":5,"d":{"cached_tokens":4}}}\n\ndata: [DONE]\n\n'
    )
    tail = AnswerTail()
    for start in range(0, len(answer), cut):
        tail.see(answer[start : start + cut])
    assert tail.usage() == {"prompt_tokens": 5, "d": {"cached_tokens": 4}}


@pytest.mark.parametrize("answer", [b"", b'{"usage":', b'{"usage": null}', b'"usage":\xff'])
def test_an_answer_without_usage_has_none(answer):
    tail = AnswerTail()
    tail.see(answer)
    assert tail.usage() is None


def test_hops_are_told_in_the_order_travelled():
    engine = HopReport(hop="engine")
    instance = HopReport(hop="instance", below=(engine,))
    assert [hop.hop for hop in flatten((HopReport(hop="proxy", below=(instance,)),))] == ["proxy", "instance", "engine"]


def test_the_ring_forgets_the_oldest():
    ring = TraceRing(2)
    for number in range(3):
        ring.add(_Request(f"r{number}"))
    assert [trace.request_id for trace in ring.newest(5)] == ["r2", "r1"]
    assert [trace.request_id for trace in ring.newest(1)] == ["r2"]
    assert ring.newest(-1) == []


class _Request:
    def __init__(self, request_id: str) -> None:
        self._id = request_id

    def trace(self) -> RequestTrace:
        return RequestTrace(request_id=self._id, endpoint="chat", model="m", started_at="", status=0)
