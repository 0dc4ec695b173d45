import os

import pytest

from cacheroute.kdn.blobs import FileBlobs, Rotten, checksum

CHUNKS = [os.urandom(1000) for _ in range(3)]
CHECKSUMS = b"".join(checksum(chunk) for chunk in CHUNKS)


@pytest.fixture
def blobs(tmp_path):
    return FileBlobs(tmp_path)


def written(blobs, name="one"):
    draft = blobs.draft(name)
    assert b"".join(draft.append(memoryview(chunk)) for chunk in CHUNKS) == CHECKSUMS
    draft.commit()
    return blobs


def content(extent):
    return os.pread(extent.file.fileno(), extent.nbytes, extent.offset)


def test_chunks_come_back_in_any_order(blobs):
    with written(blobs).open("one", CHECKSUMS, 1000) as blob:
        assert [content(blob.value(index)) for index in (2, 0, 1)] == [CHUNKS[2], CHUNKS[0], CHUNKS[1]]


def test_a_draft_is_nowhere_until_it_is_committed(blobs):
    draft = blobs.draft("one")
    draft.append(memoryview(CHUNKS[0]))
    assert list(blobs.names()) == []
    with pytest.raises(Rotten), blobs.open("one", CHECKSUMS[:16], 1000):
        pass
    draft.commit()
    assert list(blobs.names()) == ["one"]


def test_an_abandoned_draft_leaves_nothing(blobs, tmp_path):
    draft = blobs.draft("one")
    draft.append(memoryview(CHUNKS[0]))
    draft.abandon()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_abandoning_after_the_commit_takes_nothing_away(blobs):
    draft = blobs.draft("one")
    draft.append(memoryview(CHUNKS[0]))
    draft.commit()
    draft.abandon()
    with blobs.open("one", CHECKSUMS[:16], 1000) as blob:
        assert content(blob.value(0)) == CHUNKS[0]


def test_drafts_that_a_crash_left_are_removed_on_opening(blobs, tmp_path):
    blobs.draft("one").append(memoryview(CHUNKS[0]))
    assert list((tmp_path / "drafts").iterdir())
    FileBlobs(tmp_path)
    assert not list((tmp_path / "drafts").iterdir())


@pytest.mark.parametrize("at", [0, 1500, 2999])
def test_one_flipped_bit_is_found_where_it_is(blobs, tmp_path, at):
    path = written(blobs) and tmp_path / "one.kv"
    rotten = bytearray(path.read_bytes())
    rotten[at] ^= 1
    path.write_bytes(rotten)
    with blobs.open("one", CHECKSUMS, 1000) as blob:
        for index in range(3):
            if index == at // 1000:
                with pytest.raises(Rotten, match=f"chunk {index}"):
                    blob.value(index)
            else:
                assert content(blob.value(index)) == CHUNKS[index]


@pytest.mark.parametrize("nbytes", [0, 2999, 3001])
def test_a_file_of_another_length_is_rotten(blobs, tmp_path, nbytes):
    path = written(blobs) and tmp_path / "one.kv"
    os.truncate(path, nbytes)
    with pytest.raises(Rotten, match="3,000"), blobs.open("one", CHECKSUMS, 1000):
        pass


def test_removing_what_is_not_there_is_no_error(blobs):
    written(blobs).remove("one")
    blobs.remove("one")
    assert list(blobs.names()) == []


def test_who_reads_a_removed_blob_reads_it_to_the_end(blobs):
    with written(blobs).open("one", CHECKSUMS, 1000) as blob:
        blobs.remove("one")
        assert content(blob.value(2)) == CHUNKS[2]
