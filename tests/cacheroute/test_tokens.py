import stat
from concurrent.futures import ThreadPoolExecutor

from cacheroute import tokens


def test_tokens_are_made_once_readable_by_their_owner_only(tmp_path):
    state = tmp_path / "state"
    made = tokens.ensure(state)
    assert tokens.ensure(state) == made
    assert made.control != made.kv_password
    for file in state.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_all_that_start_at_once_get_the_same(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: tokens.ensure(tmp_path / "s").control, range(64)))) == 1
