from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from cacheroute.engine.embedded.turns import BACKGROUND_EVERY_S, QUIET_S, Turns, next_prompt


@dataclass(eq=False)
class Prompt:
    remaining_prompt: int = 100
    passed_over_tokens: int = 0
    background: bool = False
    cancelled: bool = False


@dataclass
class Clock:
    now_s: float = 100.0
    turns: Any = field(init=False)

    def __post_init__(self) -> None:
        self.turns = cast(Any, Turns(2, lambda: self.now_s))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def turns(clock):
    return clock.turns


def admitted(turns):
    while (one := turns.next_to_admit()) is not None:
        turns.prefilling.append(one)
    return list(turns.prefilling)


def test_the_shortest_remaining_prompt_goes_first():
    long, short = Prompt(1000), Prompt(40)
    assert next_prompt(cast(Any, [long, short])) is short


def test_a_long_prompt_waits_for_no_more_than_its_own_length_of_others():
    long, waited = Prompt(640), 0
    while True:
        chosen = next_prompt(cast(Any, [long, Prompt(64)]))  # short ones keep coming
        if chosen is long:
            break
        long.passed_over_tokens += 64
        waited += 64
    assert 0 < waited <= 640


def test_background_work_takes_no_stream_from_others_and_one_runs_at_a_time(turns):
    background = [Prompt(background=True), Prompt(background=True)]
    for one in background:
        turns.add(one)
    assert admitted(turns) == background[:1]
    others = [Prompt(), Prompt(), Prompt()]
    for one in others:
        turns.add(one)
    assert admitted(turns) == [background[0], *others[:2]]
    assert (turns.running, turns.foreground, turns.waiting) == (3, 2, 2)


def test_alone_background_work_goes_at_once_every_time(turns):
    lonely = Prompt(background=True)
    turns.prefilling.append(lonely)
    for _ in range(3):
        assert (turns.idle_s(), turns.next_prompt()) == (0, lonely)
        turns.stepped([lonely])


def test_background_work_stands_still_while_another_prefills_or_decodes(turns):
    background, other = Prompt(background=True), Prompt()
    turns.prefilling.append(background)
    turns.stepped([background])
    turns.prefilling.append(other)
    assert turns.next_prompt() is other
    turns.prefilling.remove(other)
    turns.decoding.append(other)
    assert (turns.next_prompt(), turns.next_batch(), turns.idle_s()) == (None, [other], 0)
    turns.decoding.clear()
    assert turns.next_prompt() is background


def test_background_work_goes_on_when_it_has_been_quiet_for_a_moment(turns, clock):
    background, waiting, other = Prompt(background=True), Prompt(background=True), Prompt()
    turns.prefilling.append(background)
    turns.stepped([background])
    turns.stepped([other])  # its last
    assert (turns.next_prompt(), turns.idle_s()) == (None, pytest.approx(QUIET_S))
    turns.prefilling.clear()
    turns.add(waiting)
    assert (turns.next_to_admit(), turns.idle_s()) == (None, pytest.approx(QUIET_S))
    clock.now_s += 2 * QUIET_S
    assert turns.idle_s() == 0
    assert turns.next_to_admit() is waiting


def test_while_anothers_kv_is_loaded_background_work_waits_and_the_thread_sleeps_no_longer_than_its_share(turns, clock):
    background = Prompt(background=True)
    turns.prefilling.append(background)
    turns.stepped([background])
    turns.loading.append(Prompt())
    assert (turns.next_prompt(), turns.idle_s()) == (None, BACKGROUND_EVERY_S)
    clock.now_s += BACKGROUND_EVERY_S
    assert (turns.next_prompt(), turns.idle_s()) == (background, 0)


def test_under_constant_load_background_work_gets_one_step_in_so_long(turns, clock):
    background, other = Prompt(background=True), Prompt()
    turns.prefilling += [background, other]
    turns.stepped([background])
    steps = []
    for _ in range(33):
        one = turns.next_prompt()
        turns.stepped([one])
        steps.append(one)
        clock.now_s += BACKGROUND_EVERY_S / 8
    assert steps.count(background) == 4


def test_background_streams_decode_with_others_only_at_their_share(turns, clock):
    background, other = Prompt(background=True), Prompt()
    turns.decoding += [background, other]
    turns.stepped([background])
    assert turns.next_batch() == [other]
    clock.now_s += BACKGROUND_EVERY_S
    assert turns.next_batch() == [background, other]


def test_whoever_waits_is_let_in_as_soon_as_nothing_runs_any_more(turns):
    assert turns.idle_s() is None
    turns.add(Prompt())
    assert turns.idle_s() == 0
    turns.loading.append(turns.next_to_admit())
    assert turns.idle_s() is None


def test_those_that_left_are_dropped_wherever_they_stand_but_not_while_they_load(turns):
    groups = (turns.prefilling, turns.decoding, turns.loading)
    gone = [Prompt(cancelled=True) for _ in groups]
    for group, one in zip(groups, gone, strict=True):
        group += [one, Prompt()]
    lined_up = [Prompt(cancelled=True), Prompt(cancelled=True, background=True)]
    for one in lined_up:
        turns.add(one)
    assert turns.drop_cancelled() == [*gone[:2], *lined_up]
    assert (turns.running, turns.waiting) == (4, 0)
