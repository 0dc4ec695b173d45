from cacheroute.glyphs import LOOKS
from stack.events import State


def test_every_state_of_a_process_has_a_look() -> None:
    assert LOOKS.keys() == set(State)
