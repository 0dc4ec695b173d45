import pytest

from cacheroute.address import base_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:7001"),
        ("cache.example", "http://cache.example:7001"),
        ("0.0.0.0", "http://127.0.0.1:7001"),
        ("::", "http://[::1]:7001"),
        ("fe80::1", "http://[fe80::1]:7001"),
    ],
)
def test_a_server_is_reached_where_it_is_bound_and_a_wildcard_over_loopback(host: str, url: str) -> None:
    assert base_url(host, 7001) == url
