from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from cacheroute.engine.embedded.model import ModelSpec

SPEC = ModelSpec(
    layers=30,
    kv_heads=3,
    head_dim=64,
    hidden=576,
    vocab=49152,
    max_positions=8192,
    eos_ids=frozenset({2}),
    dtype="bfloat16",
    digest="",
    forward="",
    splits_freely=True,
)


def cuts(spec: ModelSpec, start: int, end: int, chunk_tokens: int, most_tokens: int) -> Iterator[int]:
    while start < end:
        start = spec.piece_end(start, end, chunk_tokens, most_tokens)
        yield start


def test_bytes_per_token_are_those_of_every_layers_keys_and_values() -> None:
    assert SPEC.bytes_per_token == 23_040
    assert SPEC.slab(64).chunk_nbytes(64) == 64 * SPEC.bytes_per_token


@given(start=st.integers(0, 500), tokens=st.integers(1, 2000), most=st.integers(1, 300))
def test_free_pieces_are_even_and_few(start: int, tokens: int, most: int) -> None:
    ends = list(cuts(SPEC, start, start + tokens, 16, most))
    sizes = [end - begin for begin, end in zip([start, *ends], ends, strict=False)]
    assert ends[-1] == start + tokens
    assert len(sizes) == -(-tokens // most)
    assert max(sizes) - min(sizes) <= 1


@given(start=st.integers(0, 500), tokens=st.integers(1, 2000), chunk=st.sampled_from([16, 64]))
def test_bound_pieces_end_at_every_chunk_boundary_and_with_the_prompt(start: int, tokens: int, chunk: int) -> None:
    spec = ModelSpec(**{name: getattr(SPEC, name) for name in SPEC.__slots__ if name != "splits_freely"})
    end = start + tokens
    boundaries = [at for at in range(start + 1, end) if at % chunk == 0]
    assert list(cuts(spec, start, end, chunk, 256)) == [*boundaries, end]
