from cacheroute.bench import sets
from cacheroute.bench.sets import run_sets


def test_advised_sets_serve_more_than_single_blocks_within_the_same_bytes(monkeypatch):
    monkeypatch.setattr(sets, "BUDGETS", (1.0,))
    rows = run_sets(documents=20, requests=400)
    assert [(row.workload, row.order) for row in rows] == [
        (workload, order) for workload in ("independent", "topical") for order in ("by name", "by popularity")
    ]
    for row in rows:
        assert 0 < row.singles < row.advised_sets < 1
        assert row.set_artifacts > 0
        assert row.advised_singles < row.advised_sets
