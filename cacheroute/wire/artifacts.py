"""The KDN's edge for KV: artifacts, builds, injection, advice, and what it asks of instances."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Rendering = Literal["chat", "completions"]
Kids = Annotated[tuple[str, ...], Meta(max_length=64)]
"""Of one prompt: no prompt has more blocks."""
FingerprintId = Annotated[str, Meta(max_length=64)]
BuildState = Literal["queued", "building", "built", "present", "failed", "cancelled"]


class Artifact(Struct, frozen=True, kw_only=True):
    """KV of an ordered list of kids, in one rendering, for one fingerprint."""

    id: str
    kids: tuple[str, ...]
    rendering: Rendering
    fingerprint: str
    n_tokens: int
    keys: tuple[str, ...]
    nbytes: int
    created_at: str = ""
    last_used: str = ""
    """Wall clock, ISO 8601, for people."""
    hits: int = 0
    pinned: bool = False
    whole_tokens: int = 0
    """Of the whole head. More than `n_tokens`: a partial artifact, whose KV ends earlier."""


class ArtifactInfo(Struct, frozen=True, kw_only=True):
    """An artifact as `GET /v1/artifacts?kid=&fingerprint=` lists it, a Page at a time: without its keys."""

    id: str
    kids: tuple[str, ...]
    rendering: Rendering
    fingerprint: str
    n_tokens: int
    whole_tokens: int
    nbytes: int
    created_at: str
    last_used: str
    hits: int
    pinned: bool


class BuildRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/artifacts`: builds now, for each live fingerprint or the one named, and answers when it is done."""

    kids: Kids
    rendering: Rendering = "chat"
    fingerprint: FingerprintId = ""


class BuildResult(Struct, frozen=True, kw_only=True):
    """`reason` is `built`, `present` (it was there already), or why `artifact` is None."""

    fingerprint: str
    instance: str
    artifact: Artifact | None
    reason: str
    ms: float


class QueueBuilds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/builds`: lists of kids to build one after the other, when no live request wants the engine.

    The queue is on disk: what it has taken is built even if the KDN is killed.
    """

    sets: tuple[Kids, ...]
    rendering: Rendering = "chat"
    fingerprint: FingerprintId = ""
    """Empty: for each fingerprint that is live when its turn comes."""


class Build(Struct, frozen=True, kw_only=True):
    """One entry of the queue, `GET /v1/builds`: a Page, in the order of their turn."""

    id: int
    kids: tuple[str, ...]
    rendering: Rendering
    fingerprint: str
    state: BuildState
    why: str = ""
    """What it waits for, or why it failed."""
    ms: float = 0.0


class Queued(Struct, frozen=True, kw_only=True):
    """The answer to `POST /v1/builds`: ids in the order of `sets`; one that was queued already keeps its id."""

    ids: tuple[int, ...]


class Cancelled(Struct, frozen=True, kw_only=True):
    """The answer to `DELETE /v1/builds`, which takes out what is queued: the one under way ends by itself."""

    ids: tuple[int, ...]


class FindArtifact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/artifacts/find`: the artifact for the longest prefix of `kids`, or none. Counts as a wish for KV of
    all of `kids`, which `GET /v1/advice` is made from."""

    kids: Kids
    rendering: Rendering
    fingerprint: FingerprintId


class FoundArtifact(Struct, frozen=True, kw_only=True):
    artifact: Artifact | None
    reason: str


class Advice(Struct, frozen=True, kw_only=True):
    """`GET /v1/advice?limit=`: what to build next, best first. `gain` = requests x tokens that had to be computed."""

    kids: tuple[str, ...]
    rendering: Rendering
    fingerprint: str
    requests: int
    tokens: int
    """Of the whole set, as far as known (an estimate before it was built once)."""
    missing_tokens: int
    """Of them, those that no artifact has."""
    gain: int


class Pin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/artifacts/{id}/pin`: a pinned artifact is not evicted for others."""

    pinned: bool = True


class Verdict(Struct, frozen=True, kw_only=True):
    """`POST /v1/artifacts/{id}/verify`. Of one that is not `ok`, `kept_tokens` before the rot are still offered; the
    whole is queued to be built again (`rebuild`: the queue's id, 0 if that cannot be)."""

    artifact_id: str
    ok: bool
    why: str = ""
    kept_tokens: int = 0
    rebuild: int = 0


class Purged(Struct, frozen=True, kw_only=True):
    store: str
    keys: int
    """How many chunks were there."""


class InjectRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/inject`. The store is asked for by name: no address or password ever comes in a request."""

    request_id: str
    artifact_id: str
    store: str


class PurgeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/purge`: take an artifact's chunks out of a kv store; the artifact itself stays."""

    artifact_id: str
    store: str
    strangers: bool = False
    """Also every chunk that no artifact of this KDN has: what engines stored of questions and answers."""


class HeadRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """KDN -> instance, `POST /v1/kv/head`: the token ids that every prompt with these texts begins with."""

    texts: tuple[str, ...]
    rendering: Rendering


class Head(Struct, frozen=True, kw_only=True):
    """Floored to whole chunks; empty where the texts are shorter than a chunk or the template cannot be pinned."""

    token_ids: tuple[int, ...]
    fingerprint: str
    reason: str = ""


class PrefillRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """KDN -> instance, `POST /v1/kv/prefill`: compute these ids, so that their KV lands in the kv store."""

    token_ids: tuple[int, ...]
    background: bool = False
    """Nobody waits for it: the engine serves everybody else first."""


class CacheReset(Struct, frozen=True, kw_only=True):
    """KDN -> instance, `POST /v1/kv/reset_prefix_cache`: chunks that the engine's own cache held, and holds now."""

    dropped: int = 0
    left: int = 0
