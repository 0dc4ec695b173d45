"""A KDN's settings."""

from typing import Annotated

from msgspec import Meta, Struct

from cacheroute.bounds import Interval, Positive, Seconds


class S3Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The object store that `blobs` names. What is empty here is taken from the usual AWS variables."""

    endpoint: str = ""
    """http(s)://host:port of a server of your own; empty: AWS."""
    region: str = ""
    access_key_env: str = "AWS_ACCESS_KEY_ID"
    """The environment variable that holds the access key: no secret stands in a configuration."""
    secret_key_env: str = "AWS_SECRET_ACCESS_KEY"
    timeout_s: Seconds = 10.0
    """Of one request, which moves 8 MiB at most."""


class KdnConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: int = 9101
    quota_mb: Positive = 20_000
    """Bytes of artifacts kept; the least recently used go first."""
    blobs: Annotated[str, Meta(pattern=r"^(files|s3://[^/]+(/.*)?)$")] = "files"
    """Where artifacts' bytes lie: `files` in the data directory, or s3://bucket/prefix of an object store."""
    s3: S3Config = S3Config()
    build_timeout_s: Seconds = 300.0
    build_wait_s: Seconds = 30.0
    """Longest wait of a queued build for an instance that serves nobody; then one is built all the same."""
    store_wait_s: Seconds = 10.0
    """Of a build: longest wait for the next chunk that an engine computed to appear in its kv store."""
    inject_timeout_s: Seconds = 30.0
    max_injections: Positive = 4
    max_waiting: Positive = 64
    """Injections waiting for their turn; one more is answered 429."""
    sync_every_s: Interval = 300.0
    """How often this KDN takes over what the others have newer; 0: only when it is told to."""
    block_tokens: Positive = 1024
    """Longest block, in tokens as knowledge estimates them: rather too many than too few."""
    max_import_mb: Positive = 2048
    """Largest import, packed or unpacked."""
