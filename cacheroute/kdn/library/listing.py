"""What a listing shows of a document and of a block: the library's values as those of the wire."""

from collections.abc import Iterable
from datetime import UTC, datetime

from cacheroute.wire.documents import BlockInfo, DocumentInfo
from knowledge.catalogue.records import Record
from knowledge.document import Block


def document_info(record: Record, built_blocks: int) -> DocumentInfo:
    registered = datetime.fromtimestamp(record.registered_ms / 1000, UTC)
    return DocumentInfo(
        document_id=record.document_id,
        source=record.source,
        title=record.title,
        version=record.version,
        collection=record.collection,
        tags=record.tags,
        revision=record.revision,
        registered_at=registered.isoformat(timespec="milliseconds"),
        blocks=record.blocks,
        tokens=record.tokens,
        built_blocks=built_blocks,
    )


def block_info(block: Block, artifacts: Iterable[str], *, with_text: bool = False) -> BlockInfo:
    return BlockInfo(
        kid=block.kid,
        source=block.source,
        title=block.title,
        ordinal=block.ordinal,
        chars=len(block.text),
        collection=block.collection,
        tokens=block.tokens,
        version=block.version,
        artifacts=tuple(artifacts),
        text=block.text if with_text else None,
    )
