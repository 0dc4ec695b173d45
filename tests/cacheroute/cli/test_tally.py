from cacheroute.cli.tally import Tally
from cacheroute.wire.documents import AddedDocument


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def added(status: str = "added", **parts_ms: float) -> AddedDocument:
    return AddedDocument(source="s", title="t", status=status, kids=("a", "b"), parts_ms=parts_ms)


def test_what_was_done_is_counted_and_summed() -> None:
    tally = Tally(3)
    tally.parsed(1, 5.0)
    tally.parsed(1, 7.0)
    tally.registered(added(cut=1.0, embed=20.0))
    tally.registered(added("unchanged", cut=2.0))
    tally.failed(["one", "two"], refused=True)
    assert tally.statuses == {"added": 1, "replaced": 0, "unchanged": 1}
    assert tally.parts_ms == {"read": 12.0, "cut": 3.0, "embed": 20.0}
    assert (tally.blocks, tally.refused, len(tally.failures)) == (4, 1, 2)


def test_the_time_left_goes_by_the_documents_that_files_gave_so_far() -> None:
    clock = Clock()
    tally = Tally(10, clock)
    assert tally.left_s is None
    for _ in range(5):
        tally.parsed(2, 1.0)  # so there will be 20
    clock.now_s += 4.0
    for _ in range(4):
        tally.registered(added())
    assert tally.per_s == 1.0
    assert tally.left_s == 16.0


def test_a_document_that_is_in_ends_the_waiting() -> None:
    clock = Clock()
    tally = Tally(1, clock)
    tally.waiting = "overloaded"
    clock.now_s += 3.0
    tally.registered(added())
    assert (tally.waiting, tally.last_in_s) == ("", 103.0)
