"""Asking the chosen KDN which KV it has for a request. Whatever fails is a reason for text, never an error."""

from collections.abc import Sequence

import aiohttp

from cacheroute import call
from cacheroute.errors import Unavailable, UpstreamFailed
from cacheroute.wire.artifacts import FindArtifact, FoundArtifact
from cacheroute.wire.control import InstanceRecord
from cacheroute.wire.serve import Endpoint

TIMEOUT_S = 2.0


async def find_artifact(
    session: aiohttp.ClientSession,
    url: str | None,
    token: str,
    instance: InstanceRecord,
    kids: Sequence[str],
    endpoint: Endpoint,
) -> FoundArtifact:
    """The artifact for the longest prefix of `kids` that this instance's engine can load, or none with a reason."""
    if instance.engine.no_kv_reason:
        return FoundArtifact(artifact=None, reason=instance.engine.no_kv_reason)
    if instance.kv_store is None:
        return FoundArtifact(artifact=None, reason=f"{instance.name} has no kv store")
    if url is None:
        return FoundArtifact(artifact=None, reason="no live KDN holds it")
    asked = FindArtifact(kids=tuple(kids), rendering=endpoint, fingerprint=instance.engine.fingerprint.id)
    try:
        return await call.post(
            session, f"{url}/v1/artifacts/find", asked, FoundArtifact, peer="the KDN", token=token, timeout_s=TIMEOUT_S
        )
    except (Unavailable, UpstreamFailed) as error:
        return FoundArtifact(artifact=None, reason=error.message)
