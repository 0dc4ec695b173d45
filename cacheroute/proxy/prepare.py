"""What a request needs before it can wait for its instance: the whole prompt, and whether its head comes as KV."""

from collections.abc import Mapping

import aiohttp
import msgspec
from msgspec import Struct

from cacheroute.proxy.artifacts import find_artifact
from cacheroute.proxy.compose import PromptKnowledge, compose, in_canonical_order
from cacheroute.proxy.config import ProxyConfig
from cacheroute.proxy.injection import choose, told_of_all
from cacheroute.wire.control import InstanceRecord
from cacheroute.wire.decision import InjectionDecision
from cacheroute.wire.serve import KvPlan, ProxyRequest


class Prepared(Struct, frozen=True, kw_only=True):
    """One request, ready to go to one instance."""

    body: msgspec.Raw
    """What the engine gets."""
    kv: KvPlan | None
    injection: InjectionDecision
    knowledge: PromptKnowledge
    """What of it is in the body."""


class Preparer:
    """Composes prompts, and asks KDNs which KV there is of their heads."""

    def __init__(self, settings: ProxyConfig, session: aiohttp.ClientSession, token: str) -> None:
        self._settings = settings
        self._session = session
        self._token = token

    async def prepare(
        self, asked: ProxyRequest, knowledge: PromptKnowledge, instance: InstanceRecord, kdns: Mapping[str, str]
    ) -> Prepared:
        """`kdns`: urls of the live ones by name. Raises BadRequest for a body that knowledge has no place in."""
        head = in_canonical_order(knowledge.head)
        body = compose(asked.endpoint, bytes(asked.body), head, knowledge.turns)
        wanted = asked.injection if asked.injection != "auto" else self._settings.injection
        found = None
        if head and wanted != "text":
            kids = [item.kid for item in head]
            url = kdns.get(asked.kdn or "")
            found = await find_artifact(self._session, url, self._token, instance, kids, asked.endpoint)
        injection = choose(wanted, len(head), found, self._settings.kv_threshold_tokens)
        plan = None
        if injection.mode == "kv" and found is not None and found.artifact is not None:
            plan = KvPlan(kdn=asked.kdn or "", artifact_id=found.artifact.id, keys=found.artifact.keys)
        return Prepared(body=body, kv=plan, injection=told_of_all(injection, knowledge), knowledge=knowledge)
