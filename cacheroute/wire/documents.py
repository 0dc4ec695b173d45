"""The KDN's edge for knowledge: documents and blocks in and out, what changed, what other KDNs have.

`GET /v1/changes?epoch=&since=&limit=` is one page of `knowledge.catalogue.changes.Changes` in msgpack (its vectors are
bytes), `POST /v1/search` is `knowledge.retrieval.match.Matches`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"\A(?=.*\S)[^\x00-\x1f\x7f]+\Z")]
"""Of a document or a collection: what it can be asked for by, in a url too. Not blank, no control characters."""
Label = Annotated[str, Meta(max_length=256, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
"""A version or a tag."""


class AddDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/documents`. `source` names where it came from: registering it again replaces the old version."""

    source: Name
    text: str
    title: Annotated[str, Meta(max_length=4096, pattern=r"\A[^\x00]*\Z")] = ""
    version: Label = ""
    collection: Name = "default"
    tags: Annotated[tuple[Label, ...], Meta(max_length=64)] = ()


class NearDuplicate(Struct, frozen=True, kw_only=True):
    """A block that says almost the same as one that was here. `similarity`: share of their word runs, 0 to 1."""

    kid: str
    other_kid: str
    other_source: str
    other_collection: str
    similarity: float


class AddedDocument(Struct, frozen=True, kw_only=True):
    source: str
    title: str
    status: Literal["added", "replaced", "unchanged"]
    kids: tuple[str, ...]
    added: tuple[str, ...] = ()
    """Of `kids`, those that the version before did not have."""
    removed: tuple[str, ...] = ()
    near_duplicates: tuple[NearDuplicate, ...] = ()
    notes: tuple[str, ...] = ()
    """What was changed or noticed on the way, e.g. control tokens that were neutralised."""
    parts_ms: dict[str, float] = {}
    """By stage: cut, embed, store."""


class DocumentInfo(Struct, frozen=True, kw_only=True):
    """`GET /v1/documents?source=&collection=`: a Page of these, by collection and source."""

    document_id: str
    source: str
    title: str
    version: str
    collection: str
    tags: tuple[str, ...]
    revision: int
    """How often it was registered."""
    registered_at: str
    """Wall clock, ISO 8601, for people."""
    blocks: int
    tokens: int
    built_blocks: int = 0
    """Blocks that some artifact holds."""


class BlockInfo(Struct, frozen=True, kw_only=True):
    """`GET /v1/blocks?source=&collection=&kid=`: a Page of these; `kid` is the beginning of one."""

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


class Proof(Struct, frozen=True, kw_only=True):
    """One place that was looked at after a deletion, and what of the document was still found there: 0."""

    place: str
    """`text`, `vectors`, `search index`, `blobs`, `kv store NAME`, `engine NAME`."""
    left: int
    note: str = ""


class DeletedDocument(Struct, frozen=True, kw_only=True):
    """`DELETE /v1/documents?source=[&collection=]`: what went with it, and the proof that it is gone."""

    source: str
    collection: str
    kids: tuple[str, ...]
    artifacts: tuple[str, ...]
    """Those that held a text that no document has any more."""
    purged: dict[str, int]
    """Chunks taken out, by kv store."""
    proof: tuple[Proof, ...] = ()
    pending: tuple[str, ...] = ()
    """Places that could not be reached: written down, and purged as soon as they can be."""
    notes: tuple[str, ...] = ()


class SearchBlocks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/search` of a KDN: what it would find by itself."""

    query: str
    k: int = 3
    collections: tuple[str, ...] | None = None
    """None: all."""


class SyncRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/sync`: take from the KDN of this name what it has newer. Its address comes from the lease's grant."""

    origin: str


class SyncReport(Struct, frozen=True, kw_only=True):
    """Documents taken over and deleted because the origin's version (or deletion) was the newer one."""

    origin: str
    taken: int
    deleted: int
    kept: int
    """Documents of which this KDN's own version is as new, or newer."""
    ms: float


class ImportReport(Struct, frozen=True, kw_only=True):
    """`POST /v1/import`, its body what `GET /v1/export` gave. A line that cannot be used is a failure, not the end."""

    added: int
    replaced: int
    unchanged: int
    failures: tuple[str, ...] = ()
