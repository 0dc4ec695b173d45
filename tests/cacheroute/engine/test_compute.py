from dataclasses import dataclass
from typing import Any, cast

from cacheroute.engine.embedded.compute import next_prompt


@dataclass
class Prompt:
    remaining_prompt: int
    passed_over_tokens: int = 0


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
