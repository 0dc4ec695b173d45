"""An artifact's chunks, out of a kv store onto the disk. Knows neither who computed them nor who asked."""

import msgspec

from cacheroute.errors import UpstreamFailed
from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kvstore.link import Link
from cacheroute.wire.artifacts import Artifact
from knowledge.catalogue.library import Library

ROUND_CHUNKS = 8
"""Chunks asked for at a time: the engine's own reads come between."""


def gather_artifact(link: Link, artifact: Artifact, artifacts: Artifacts, library: Library, until_s: float) -> Artifact:
    """Blocking. Reads the chunks out of the store onto the disk, a few at a time, and publishes the artifact.

    Raises UpstreamFailed where the chunks are not all there or not of one length, Unavailable where there is no room,
    NotFound where the knowledge was deleted meanwhile.
    """
    sizes = set(link.sizes(artifact.keys))
    if len(sizes) != 1 or (chunk_nbytes := sizes.pop()) <= 0:
        raise UpstreamFailed(f"the kv store does not hold {len(artifact.keys)} chunks of one length")
    complete = msgspec.structs.replace(artifact, nbytes=chunk_nbytes * len(artifact.keys))
    buffer = memoryview(bytearray(chunk_nbytes))
    checksums = bytearray()
    with artifacts.building(complete.id, complete.nbytes) as draft:
        for start in range(0, len(complete.keys), ROUND_CHUNKS):
            for value in link.mget_into(complete.keys[start : start + ROUND_CHUNKS], buffer, until_s):
                if value is None:
                    raise UpstreamFailed("the kv store lost chunks while they were read")
                checksums += draft.append(value)
        return artifacts.publish(
            complete, draft, bytes(checksums), lambda: len(library.blocks(complete.kids)) == len(complete.kids)
        )
