"""What every BlobStore keeps to, tried on real files and on a real object store."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cacheroute.kdn.blobs.blob import BlobStore, Rotten, checksum
from cacheroute.kdn.blobs.files import FileBlobs
from cacheroute.kvstore.link import Extent

CHUNKS = [os.urandom(1000) for _ in range(3)]
CHECKSUMS = b"".join(checksum(chunk) for chunk in CHUNKS)


@dataclass
class Medium:
    """`fresh` opens the blobs anew, as after a crash; `spoil` puts other bytes in the place of a blob's."""

    fresh: Any
    spoil: Any
    spool: Path


def files(directory):
    return Medium(
        fresh=lambda: FileBlobs(directory),
        spoil=lambda name, content: (directory / f"{name}.kv").write_bytes(content),
        spool=directory / "drafts",
    )


def objects(directory, store, prefix):
    import obstore

    from cacheroute.kdn.blobs.s3 import S3Blobs

    client = store.client(prefix)
    return Medium(
        fresh=lambda: S3Blobs(directory, store.place(prefix)),
        spoil=lambda name, content: obstore.put(client, f"{name}.kv", content),
        spool=directory / "drafts",
    )


@pytest.fixture(params=["files", pytest.param("s3", marks=pytest.mark.slow)])
def medium(request, tmp_path):
    if request.param == "files":
        return files(tmp_path)
    return objects(tmp_path, request.getfixturevalue("object_store"), f"contract/{tmp_path.name}")


@pytest.fixture
def blobs(medium) -> BlobStore:
    return medium.fresh()


def written(blobs, name="one", chunks=CHUNKS):
    draft = blobs.draft(name)
    checksums = b"".join(draft.append(memoryview(chunk)) for chunk in chunks)
    draft.commit()
    draft.abandon()
    return checksums


def content(value):
    """What a kv store would be sent."""
    if isinstance(value, Extent):
        return os.pread(value.file.fileno(), value.nbytes, value.offset)
    return bytes(value)


def read(blobs, order, name="one", checksums=CHECKSUMS):
    with blobs.open(name, checksums, 1000) as blob:
        return [content(blob.value(index)) for index in order]


def test_chunks_come_back_in_any_order(blobs):
    assert written(blobs) == CHECKSUMS
    assert read(blobs, (2, 0, 1)) == [CHUNKS[2], CHUNKS[0], CHUNKS[1]]


def test_several_megabytes_come_back_from_either_end(blobs):
    chunks = [os.urandom(700_001) for _ in range(19)]
    checksums = written(blobs, chunks=chunks)
    for order in (range(19), range(18, -1, -1), (18, 0, 9, 3)):
        with blobs.open("one", checksums, 700_001) as blob:
            assert all(content(blob.value(index)) == chunks[index] for index in order)


def test_a_draft_is_nowhere_until_it_is_committed(blobs):
    draft = blobs.draft("one")
    draft.append(memoryview(CHUNKS[0]))
    assert list(blobs.names()) == []
    with pytest.raises(Rotten, match="gone"):
        read(blobs, [0])
    draft.commit()
    assert list(blobs.names()) == ["one"]


def test_an_abandoned_draft_leaves_nothing(blobs, medium):
    draft = blobs.draft("one")
    draft.append(memoryview(CHUNKS[0]))
    draft.abandon()
    assert list(medium.spool.iterdir()) == []
    assert list(blobs.names()) == []


def test_abandoning_after_the_commit_takes_nothing_away(blobs):
    written(blobs)
    assert read(blobs, [0]) == [CHUNKS[0]]


def test_a_crash_in_the_middle_of_a_draft_leaves_nothing(blobs, medium):
    blobs.draft("one").append(memoryview(CHUNKS[0]))
    assert list(medium.spool.iterdir())
    assert list(medium.fresh().names()) == []
    assert list(medium.spool.iterdir()) == []


def test_what_was_committed_is_there_after_a_crash(blobs, medium):
    written(blobs)
    again = medium.fresh()
    assert list(again.names()) == ["one"]
    assert read(again, range(3)) == CHUNKS


@pytest.mark.parametrize("at", [0, 1500, 2999])
def test_one_flipped_bit_is_found_where_it_is(blobs, medium, at):
    written(blobs)
    rotten = bytearray(b"".join(CHUNKS))
    rotten[at] ^= 1
    medium.spoil("one", bytes(rotten))
    with blobs.open("one", CHECKSUMS, 1000) as blob:
        for index in range(3):
            if index == at // 1000:
                with pytest.raises(Rotten, match=f"chunk {index}"):
                    blob.value(index)
            else:
                assert content(blob.value(index)) == CHUNKS[index]


@pytest.mark.parametrize("nbytes", [0, 1999, 2000, 2999])
def test_a_truncated_blob_is_sound_up_to_where_it_ends(blobs, medium, nbytes):
    written(blobs)
    medium.spoil("one", b"".join(CHUNKS)[:nbytes])
    sound = nbytes // 1000
    assert read(blobs, range(sound)) == CHUNKS[:sound]
    for index in range(sound, 3):
        with pytest.raises(Rotten, match="ends before"):
            read(blobs, [index])


def test_another_blobs_bytes_are_rotten(blobs, medium):
    written(blobs)
    medium.spoil("one", os.urandom(3000))
    for index in range(3):
        with pytest.raises(Rotten, match=f"chunk {index}"):
            read(blobs, [index])


def test_a_shortened_blob_keeps_its_beginning(blobs):
    written(blobs)
    blobs.shorten("one", 2000)
    assert read(blobs, range(2), checksums=CHECKSUMS[:32]) == CHUNKS[:2]
    with pytest.raises(Rotten):
        read(blobs, [2])


def test_whoever_knows_only_the_beginning_reads_only_that(blobs):
    written(blobs)
    assert read(blobs, (1, 0), checksums=CHECKSUMS[:32]) == [CHUNKS[1], CHUNKS[0]]


def test_blobs_are_removed_by_name_and_what_is_not_there_is_no_error(blobs):
    for name in ("one", "two", "three"):
        written(blobs, name)
    blobs.remove(["one", "three", "four"])
    assert list(blobs.names()) == ["two"]
    assert read(blobs, [1], "two") == [CHUNKS[1]]


def test_a_new_blob_of_a_name_replaces_the_old_one(blobs):
    written(blobs)
    checksums = written(blobs, chunks=CHUNKS[::-1])
    assert read(blobs, range(3), checksums=checksums) == CHUNKS[::-1]
