import pytest
from fakes.until import until

from cacheroute.kdn.builds import wishes as module
from cacheroute.kdn.builds.wishes import HALF_LIFE_S, MAX_KIDS, Wish, Wishes
from cacheroute.kdn.worker import Worker
from cacheroute.wire.artifacts import FindArtifact


class Clock:
    now_s = 50.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def worker():
    worker = Worker("test")
    yield worker
    worker.close()


def wish(*kids, rendering="chat", fingerprint="f"):
    return FindArtifact(kids=kids, rendering=rendering, fingerprint=fingerprint)


def counts(wishes):
    return {"".join(wish.kids): requests for wish, requests in wishes.counts().items()}


def test_requests_are_counted_by_list_rendering_and_fingerprint(tmp_path):
    wishes = Wishes(tmp_path / "w.sqlite")
    for asked in (wish("a"), wish("a"), wish("a", "b"), wish("a", rendering="completions"), wish("a", fingerprint="g")):
        wishes.count(asked)
    assert wishes.counts() == {
        Wish(("a",), "chat", "f"): 2,
        Wish(("a", "b"), "chat", "f"): 1,
        Wish(("a",), "completions", "f"): 1,
        Wish(("a",), "chat", "g"): 1,
    }
    wishes.close()


def test_what_no_build_could_serve_is_not_counted(tmp_path):
    wishes = Wishes(tmp_path / "w.sqlite")
    for kids in ((), ("b", "a"), ("a", "a"), tuple(sorted(f"{number:03}" for number in range(MAX_KIDS + 1)))):
        wishes.count(wish(*kids))
    assert wishes.counts() == {}
    wishes.close()


def test_those_longest_unasked_for_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_WISHES", 2)
    wishes = Wishes(tmp_path / "w.sqlite")
    for kid in "abac":
        wishes.count(wish(kid))
    assert counts(wishes) == {"a": 2, "c": 1}
    wishes.close()


async def test_they_are_kept_over_a_stop_with_their_order_and_their_age(tmp_path, clock, worker, monkeypatch):
    monkeypatch.setattr(module, "MAX_WISHES", 2)
    wishes = Wishes(tmp_path / "w.sqlite", clock)
    async with wishes.kept(worker):
        for kid in "aab":
            wishes.count(wish(kid))
        clock.now_s += HALF_LIFE_S * 0.75
    wishes.close()
    clock.now_s += 1_000_000  # while nothing ran, nothing grew old
    again = Wishes(tmp_path / "w.sqlite", clock)
    assert counts(again) == {"a": 2, "b": 1}
    clock.now_s += HALF_LIFE_S * 0.5
    assert counts(again) == {"a": 1, "b": 0.5}
    again.count(wish("c"))
    assert counts(again) == {"b": 0.5, "c": 1}
    again.close()


def test_after_every_day_of_use_each_counts_half(tmp_path, clock):
    wishes = Wishes(tmp_path / "w.sqlite", clock)
    wishes.count(wish("a"))
    clock.now_s += 2 * HALF_LIFE_S
    assert counts(wishes) == {"a": 0.25}
    wishes.count(wish("a"))
    assert counts(wishes) == {"a": 1.25}
    wishes.close()


async def test_they_are_written_now_and_then(tmp_path, worker, monkeypatch):
    monkeypatch.setattr(module, "FLUSH_S", 0.01)
    wishes = Wishes(tmp_path / "w.sqlite")
    async with wishes.kept(worker):
        wishes.count(wish("a"))

        def written():
            again = Wishes(tmp_path / "w.sqlite")
            found = counts(again)
            again.close()
            return found == {"a": 1}

        await until(written)
    wishes.close()
