"""Where a role answers, as others must write it. Pure: resolves and opens nothing."""

_EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def dialled(host: str) -> str:
    """The host to connect to for a server bound to `host`: a wildcard is reached over loopback."""
    return _EVERY_INTERFACE.get(host, host)


def base_url(host: str, port: int) -> str:
    """`http://host:port` of a server bound to `host`."""
    return f"http://{authority(host, port)}"


def authority(host: str, port: int) -> str:
    """`host:port` as a url has it: what to dial for a server bound to `host`, an IPv6 address in brackets."""
    name = dialled(host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
