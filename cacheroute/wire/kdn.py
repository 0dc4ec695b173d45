"""The KDN's edge: knowledge in and out, artifacts, injection.

Two answers are values of `knowledge` as they stand: `GET /v1/changes?epoch=&since=&limit=` is one page of
`knowledge.changes.Changes` in msgpack (its vectors are bytes), `POST /v1/search` is `knowledge.match.Matches`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Rendering = Literal["chat", "completions"]
Name = Annotated[str, Meta(min_length=1, max_length=4096)]
"""Of a document or a collection: what it can be asked for by, in a url too."""


class AddDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/documents`. `source` names where it came from: registering it again replaces the old version."""

    source: Name
    text: str
    title: str = ""
    version: str = ""
    collection: Name = "default"
    tags: tuple[str, ...] = ()


class BlockInfo(Struct, frozen=True, kw_only=True):
    kid: str
    source: str
    title: str
    ordinal: int
    chars: int
    collection: str
    tokens: int = 0
    """As counted when it was cut: an estimate."""
    version: str = ""
    artifacts: tuple[str, ...] = ()
    """Ids of the artifacts that hold this block."""
    text: str | None = None
    """Only in `GET /v1/blocks/{kid}`."""


class AddedDocument(Struct, frozen=True, kw_only=True):
    source: str
    title: str
    status: Literal["added", "replaced", "unchanged"]
    kids: tuple[str, ...]
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What was changed or noticed on the way, e.g. control tokens that were neutralised."""


class DeletedDocument(Struct, frozen=True, kw_only=True):
    """`DELETE /v1/documents?source=[&collection=]`: what went with it."""

    source: str
    collection: str
    kids: tuple[str, ...]
    artifacts: tuple[str, ...]
    """Those that held a text that no document has any more."""
    purged: dict[str, int]
    """Chunks taken out, by kv store."""
    notes: tuple[str, ...] = ()
    """Kv stores that could not be asked: what they hold stays until they evict it."""


class SearchBlocks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/search` of a KDN: what it would find by itself."""

    query: str
    k: int = 3
    collections: tuple[str, ...] | None = None
    """None: all."""


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


class BuildRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/artifacts`. Builds for each live fingerprint, or for the one named."""

    kids: tuple[str, ...]
    rendering: Rendering = "chat"
    fingerprint: str = ""


class BuildResult(Struct, frozen=True, kw_only=True):
    """`reason` is `built`, `present` (it was there already), or why `artifact` is None."""

    fingerprint: str
    instance: str
    artifact: Artifact | None
    reason: str
    ms: float


class FindArtifact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/artifacts/find`: the artifact for the longest prefix of `kids`, or none."""

    kids: tuple[str, ...]
    rendering: Rendering
    fingerprint: str


class FoundArtifact(Struct, frozen=True, kw_only=True):
    artifact: Artifact | None
    reason: str


class Pin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/artifacts/{id}/pin`: a pinned artifact is not evicted for others."""

    pinned: bool = True


class Verdict(Struct, frozen=True, kw_only=True):
    """`POST /v1/artifacts/{id}/verify`. One that is not `ok` has been dropped; `why` says what was wrong."""

    artifact_id: str
    ok: bool
    why: str = ""


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
