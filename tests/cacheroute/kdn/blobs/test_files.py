import os
import resource

import pytest

from cacheroute.errors import Unavailable
from cacheroute.kdn.blobs.blob import Rotten, checksum
from cacheroute.kdn.blobs.files import FileBlobs

CHUNKS = [os.urandom(1000) for _ in range(3)]
CHECKSUMS = b"".join(checksum(chunk) for chunk in CHUNKS)


@pytest.fixture
def blobs(tmp_path):
    blobs = FileBlobs(tmp_path)
    draft = blobs.draft("one")
    for chunk in CHUNKS:
        draft.append(memoryview(chunk))
    draft.commit()
    return blobs


def test_a_chunk_is_sent_from_the_file(blobs):
    with blobs.open("one", CHECKSUMS, 1000) as blob:
        extent = blob.value(2)
        assert os.pread(extent.file.fileno(), extent.nbytes, extent.offset) == CHUNKS[2]


def test_who_reads_a_removed_blob_reads_it_to_the_end(blobs):
    with blobs.open("one", CHECKSUMS, 1000) as blob:
        blobs.remove(["one"])
        extent = blob.value(2)
        assert os.pread(extent.file.fileno(), extent.nbytes, extent.offset) == CHUNKS[2]


def test_what_cannot_be_opened_is_rotten(blobs, tmp_path):
    (tmp_path / "one.kv").unlink()
    (tmp_path / "one.kv").mkdir()
    with pytest.raises(Rotten, match="directory"), blobs.open("one", CHECKSUMS, 1000):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_rotten(blobs, tmp_path):
    (tmp_path / "one.kv").chmod(0)
    with pytest.raises(Rotten, match="Permission"), blobs.open("one", CHECKSUMS, 1000):
        pass


def in_memory(path):
    with path.open("rb", buffering=0) as file:
        try:
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
    return True


def test_what_is_verified_is_read_from_the_disk(blobs, tmp_path):
    assert in_memory(tmp_path / "one.kv")
    blobs.uncache("one")
    if in_memory(tmp_path / "one.kv"):
        pytest.skip("this file system keeps everything in memory")
    with blobs.open("one", CHECKSUMS, 1000) as blob:
        blob.value(0)
    blobs.uncache("unknown")


def test_too_many_open_files_say_nothing_about_a_blob(blobs):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # standard input, output and error: nothing more
    try:
        with pytest.raises(Unavailable, match="Too many open files"), blobs.open("one", CHECKSUMS, 1000):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_full_disk_is_named_and_leaves_no_blob(blobs, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    draft = blobs.draft("two")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))  # beyond it the kernel refuses to write, as when it is full
    try:
        draft.append(memoryview(CHUNKS[0]))
        with pytest.raises(Unavailable, match="storage") as full:
            draft.append(memoryview(CHUNKS[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        draft.abandon()
    assert full.value.error_code == "storage_failed"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["one.kv"]
