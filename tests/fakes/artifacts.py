"""Artifacts of random bytes, and where those lie, without an engine or a kv store."""

import os
import sqlite3
from pathlib import Path

from cacheroute.kdn.artifacts.artifacts import Artifacts, artifact_id
from cacheroute.wire.artifacts import Artifact, Rendering

CHUNK = 1000
"""Bytes of one chunk, which has 64 tokens."""


def built(
    artifacts: Artifacts,
    *kids: str,
    rendering: Rendering = "chat",
    fingerprint: str = "f1",
    chunks: int = 2,
    whole_chunks: int = 0,
    wanted: bool = True,
) -> Artifact:
    """With `whole_chunks`: a partial one."""
    artifact = Artifact(
        id=artifact_id(kids, rendering, fingerprint),
        kids=kids,
        rendering=rendering,
        fingerprint=fingerprint,
        n_tokens=64 * chunks,
        keys=tuple(f"{fingerprint}@{kids}@{index}" for index in range(chunks)),
        nbytes=chunks * CHUNK,
        whole_tokens=64 * whole_chunks,
    )
    with artifacts.building(artifact.id, artifact.nbytes) as draft:
        checksums = b"".join(draft.append(memoryview(os.urandom(CHUNK))) for _ in range(chunks))
        return artifacts.publish(artifact, draft, checksums, lambda: wanted)


def blob_path(directory: Path, artifact: Artifact) -> Path:
    """The file that holds an artifact's chunks."""
    (path,) = (directory / "blobs").glob(f"{artifact.id}.*.kv")
    return path


def blob_paths(directory: Path) -> list[Path]:
    return sorted((directory / "blobs").glob("*.kv"))


def rows(directory: Path) -> list[sqlite3.Row]:
    """What the catalogue on disk says, past the code that keeps it."""
    connection = sqlite3.connect(directory / "artifacts.sqlite")
    connection.row_factory = sqlite3.Row
    try:
        return connection.execute("SELECT * FROM artifacts ORDER BY id").fetchall()
    finally:
        connection.close()
