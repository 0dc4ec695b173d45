"""The `X-CacheRoute-Hop` header: each hop's report, travelling back with the first byte. Never leaves the stack."""

import json
from collections.abc import Mapping

import msgspec

from cacheroute.wire.decision import HopReport

HOP_HEADER = "X-CacheRoute-Hop"


def encode_hop(report: HopReport) -> str:
    """Header value: JSON, with everything beyond ASCII escaped."""
    return json.dumps(msgspec.to_builtins(report), separators=(",", ":"))  # msgspec would leave é as it is


def decode_hop(headers: Mapping[str, str]) -> tuple[HopReport, ...]:
    """The report of the hop below, if it sent one that can be read (an engine of another make sends none)."""
    try:
        return (msgspec.json.decode(headers[HOP_HEADER], type=HopReport),)
    except (KeyError, msgspec.DecodeError):
        return ()
