import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from cacheroute import tokens
from cacheroute.errors import ConfigError


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


@pytest.mark.parametrize("content", ["", "\n", "short", "has spaces in it, many of them", "x" * 20 + "\x00"])
def test_a_file_without_a_token_is_a_clear_error_and_never_an_empty_password(tmp_path, content):
    tokens.ensure(tmp_path)
    (tmp_path / "kv.password").write_text(content)
    with pytest.raises(ConfigError, match=r"kv.password holds no token"):
        tokens.ensure(tmp_path)
