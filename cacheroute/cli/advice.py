"""`cacheroute kdn advise`: which KV would be worth most, and the best of it built."""

import asyncio
from collections.abc import Sequence

from cacheroute.cli.builds import build_sets
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.selection import KID_SHOWN, chosen_kdns, of_each
from cacheroute.client import Client
from cacheroute.errors import CacheRouteError
from cacheroute.kdn_client import Kdn
from cacheroute.wire.artifacts import Advice

_FIGURES = ("GAIN", "REQUESTS", "MISSING")
_GAIN = "Gain: requests x tokens that they had to compute. `cacheroute kdn advise --build N` builds the best N."


def advise(invocation: Invocation, top: int, build: int, kdn: str | None) -> int | None:
    """What to build next by requests x tokens saved; with `build`, the best so many are queued and followed. Returns 1
    if a KDN does not answer."""
    advice, titles, errors = asyncio.run(_asked(invocation, top, build, kdn))
    out = invocation.out
    out.result({"kdns": advice, "failures": [error.message for error in errors]})
    rows = [(name, each) for name, told in advice.items() for each in told[:top]]
    if rows:
        out.table(
            ("KDN", *_FIGURES, "KIDS", "TITLES"),
            (
                (
                    name,
                    each.gain,
                    each.requests,
                    f"{each.missing_tokens} of {each.tokens} tokens",
                    " + ".join(kid[:KID_SHOWN] for kid in each.kids),
                    " + ".join(dict.fromkeys(titles[kid] for kid in each.kids if kid in titles)),
                )
                for name, each in rows
            ),
            right=_FIGURES,
        )
        out.say(_GAIN if not build else "That was before it was built.")
    else:
        out.say("Nothing to advise: no request wished for KV that is not there.")
    for error in errors:
        out.note(error.message)
    return 1 if errors else None


async def _asked(
    invocation: Invocation, top: int, build: int, kdn: str | None
) -> tuple[dict[str, tuple[Advice, ...]], dict[str, str], list[CacheRouteError]]:
    """The advice by KDN, the titles of its kids, and what those say that cannot tell. Builds what is to be built."""
    async with invocation.client() as client:
        advice, errors = await of_each(chosen_kdns(client, kdn), lambda role: role.advice(max(top, build)))
        titles = await _titles(client, [each for told in advice.values() for each in told])
        for name, told in advice.items():
            for rendering in ("chat", "completions"):
                if sets := [each.kids for each in told[:build] if each.rendering == rendering]:
                    names = {kid: f"{kid[:KID_SHOWN]} {title}" for kid, title in titles.items()}
                    await build_sets(invocation.out, client.kdns[name], sets, rendering, names=names)
        return advice, titles, errors


async def _titles(client: Client, advice: Sequence[Advice]) -> dict[str, str]:
    """kid -> title, as far as a KDN that answers has it."""
    kids = {kid for each in advice for kid in each.kids}
    found: dict[str, str] = {}
    for kdn in client.kdns.values():
        for kid in kids - found.keys():
            if title := await _title(kdn, kid):
                found[kid] = title
    return found


async def _title(kdn: Kdn, kid: str) -> str:
    """Empty where this KDN has no such block, or cannot be asked."""
    try:
        return (await kdn.block(kid)).title
    except CacheRouteError:
        return ""
