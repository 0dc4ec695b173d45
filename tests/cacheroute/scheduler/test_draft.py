from cacheroute.scheduler.body import parse
from cacheroute.scheduler.draft import Draft


def test_a_request_that_ended_and_nobody_knows_how_is_a_failure_with_a_reason():
    draft = Draft("r", parse("chat", b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'))
    assert draft.trace().status == 0
    draft.end()
    assert draft.trace().status == 500
    assert "log" in draft.trace().error
