"""Which BlobStore a KDN's settings name. A part that only one of them needs is imported only for that one."""

import os
from collections.abc import Mapping
from functools import partial

from cacheroute.kdn.blobs.blob import OpenBlobs
from cacheroute.kdn.blobs.files import FileBlobs
from cacheroute.kdn.config import KdnConfig


def blobs_of(kdn: str, settings: KdnConfig, env: Mapping[str, str] = os.environ) -> OpenBlobs:
    """How the KDN of that name opens its blobs. Each KDN has its own part of an object store's prefix."""
    if settings.blobs == "files":
        return FileBlobs
    from cacheroute.kdn.blobs.s3 import S3Blobs
    from cacheroute.kdn.blobs.s3_prefix import S3Place

    bucket, _, prefix = settings.blobs.removeprefix("s3://").partition("/")
    place = S3Place(
        bucket=bucket,
        prefix="/".join(part for part in (*prefix.split("/"), kdn) if part),
        endpoint=settings.s3.endpoint,
        region=settings.s3.region,
        access_key=env.get(settings.s3.access_key_env, ""),
        secret_key=env.get(settings.s3.secret_key_env, ""),
        timeout_s=settings.s3.timeout_s,
    )
    return partial(S3Blobs, place=place)
