import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cacheroute.engine.embedded.slab import KVSlab, SlabError, SlabPool

SHAPE = (2, 3, 8)
"""layers, KV heads, head dimension"""


def filled(tokens: int, capacity: int = 64) -> KVSlab:
    slab = KVSlab(*SHAPE, capacity)
    slab.kv.copy_(torch.randn(slab.kv.shape, generator=torch.Generator().manual_seed(tokens)))
    slab.length = tokens
    return slab


@settings(deadline=None)
@given(chunk_tokens=st.sampled_from([1, 4, 16, 32]), chunks=st.integers(1, 2))
def test_chunks_carry_a_slab_over_bit_for_bit(chunk_tokens: int, chunks: int) -> None:
    source, target = filled(chunks * chunk_tokens), KVSlab(*SHAPE, 64)
    target.load_chunks(0, chunk_tokens, [source.chunk_bytes(index, chunk_tokens) for index in range(chunks)])
    assert target.length == source.length
    assert torch.equal(target.kv[:, :, :, : target.length], source.kv[:, :, :, : source.length])


def test_a_chunk_is_the_positions_of_every_layer_and_head_without_a_header() -> None:
    slab = filled(32)
    expected = slab.kv[:, :, :, 16:32].contiguous().view(torch.uint8).numpy().tobytes()
    assert slab.chunk_bytes(1, 16) == expected
    assert slab.chunk_nbytes(16) == len(expected)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_chunk_loads_from_any_buffer_without_a_warning(kind: type) -> None:
    source, target = filled(16), KVSlab(*SHAPE, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target.load_chunk(0, 16, kind(source.chunk_bytes(0, 16)))
    assert torch.equal(target.kv[:, :, :, :16], source.kv[:, :, :, :16])


def test_loading_a_chunk_again_does_not_shorten_the_slab() -> None:
    slab = filled(40)
    slab.load_chunk(0, 16, slab.chunk_bytes(0, 16))
    assert slab.length == 40


def test_an_unfinished_chunk_has_no_bytes() -> None:
    slab = filled(31)
    slab.chunk_bytes(0, 16)
    with pytest.raises(SlabError, match="not within 31"):
        slab.chunk_bytes(1, 16)
    with pytest.raises(SlabError):
        slab.chunk_bytes(-1, 16)


def test_a_value_of_the_wrong_size_is_refused_and_changes_nothing() -> None:
    value = filled(16).chunk_bytes(0, 16)
    slab = filled(0)
    before = slab.kv.clone()
    for wrong in (b"", value[:-1], bytes(value) + b"\0"):
        with pytest.raises(SlabError, match=f"not {len(wrong)}"):
            slab.load_chunk(0, 16, wrong)
    assert torch.equal(slab.kv, before)
    assert slab.length == 0


def test_a_chunk_that_leaves_a_gap_or_does_not_fit_is_refused() -> None:
    value = filled(16).chunk_bytes(0, 16)
    slab = KVSlab(*SHAPE, 64)
    for index in (1, -1):
        with pytest.raises(SlabError, match="does not follow"):
            slab.load_chunk(index, 16, value)
    slab.length = 64
    with pytest.raises(SlabError, match="does not follow"):
        slab.load_chunk(4, 16, value)


def test_claiming_forgets_what_comes_after() -> None:
    slab = filled(40)
    slab.claim(16, 8)
    assert slab.length == 16


@pytest.mark.parametrize(("start", "tokens"), [(41, 1), (-1, 1), (0, 0), (40, 25)])
def test_a_piece_that_is_empty_leaves_a_gap_or_does_not_fit_is_refused(start: int, tokens: int) -> None:
    slab = filled(40)
    with pytest.raises(SlabError):
        slab.claim(start, tokens)
    assert slab.length == 40


def test_truncating_only_shortens() -> None:
    slab = filled(40)
    slab.truncate(8)
    assert slab.length == 8
    with pytest.raises(SlabError):
        slab.truncate(9)


def test_a_fresh_slab_is_finite_up_to_its_rounded_capacity() -> None:
    slab = KVSlab(*SHAPE, 65)
    assert slab.capacity == 128
    assert bool((slab.kv == 0).all())


def test_the_pool_lends_the_same_memory_again_and_empty() -> None:
    pool = SlabPool(*SHAPE, 64, idle_limit=1)
    first, second = pool.acquire(), pool.acquire()
    first.length = 7
    memory = first.kv.data_ptr()
    pool.release(first)
    pool.release(second)
    assert pool.idle == 1
    again = pool.acquire()
    assert (again.kv.data_ptr(), again.length) == (memory, 0)
    assert pool.idle == 0
