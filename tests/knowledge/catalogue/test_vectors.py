from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from knowledge.catalogue.vectors import Placed, VectorIndex
from knowledge.embedding import DIMENSIONS

rng = np.random.default_rng(7)
POOL = rng.standard_normal((40, DIMENSIONS)).astype(np.float32)
POOL /= np.linalg.norm(POOL, axis=1, keepdims=True)


def placed(passage: int, collection: str = "c") -> Placed:
    return Placed(passage, collection, POOL[passage % len(POOL)])


steps = st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.sampled_from("abc")), max_size=40)


@given(steps, st.sets(st.sampled_from("abcd")) | st.none(), st.integers(1, 25))
def test_the_top_is_what_brute_force_finds_after_any_adds_and_removals(
    steps: list[tuple[bool, int, str]], visible: set[str] | None, n: int
) -> None:
    index, truth = VectorIndex(), dict[int, str]()
    for add, passage, collection in steps:
        index.update([passage], [placed(passage, collection)] if add else [])
        truth.pop(passage, None)
        if add:
            truth[passage] = collection
    query = POOL[30]
    seen = {p: float(POOL[p] @ query) for p, c in truth.items() if visible is None or c in visible}
    best = sorted(seen, key=lambda passage: -seen[passage])[:n]
    found = index.top(query, n, visible)
    assert list(found) == best
    assert np.allclose([found[passage] for passage in best], [seen[passage] for passage in best], atol=1e-5)
    assert len(index) == len(truth)


def test_cosines_are_given_for_passages_asked_for_beyond_the_top() -> None:
    index = VectorIndex()
    index.update((), [placed(passage) for passage in range(10)])
    found = index.top(POOL[3], 1, also=[5, 99])
    assert list(found) == [3, 5]
    assert found[3] > 0.999
    assert abs(found[5] - float(POOL[5] @ POOL[3])) < 1e-5


def test_it_grows_past_its_first_rows_and_an_empty_one_finds_nothing() -> None:
    index = VectorIndex()
    assert index.top(POOL[0], 5) == {}
    index.update((), [placed(passage) for passage in range(1000)])
    index.update(range(0, 1000, 2), ())
    assert len(index) == 500
    assert set(index.top(POOL[1], 500)) == set(range(1, 1000, 2))
