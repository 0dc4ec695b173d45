from cacheroute.engine.embedded.prefix_cache import PrefixCache


def test_a_match_is_the_longest_run_from_the_head():
    cache = PrefixCache(100)
    for key in ("a", "b", "d"):
        cache.put(key, memoryview(key.encode()))
    assert cache.match(["a", "b", "c", "d"]) == [b"a", b"b"]
    assert cache.match(["c", "a"]) == []


def test_the_least_recently_put_goes_first_and_the_budget_holds():
    cache = PrefixCache(30)
    for key in ("a", "b", "c"):
        cache.put(key, memoryview(bytes(10)))
    cache.put("a", memoryview(bytes(10)))
    cache.put("d", memoryview(bytes(10)))
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]
    assert cache.nbytes == 30
    cache.put("a", memoryview(bytes(20)))
    assert cache.nbytes <= 30


def test_a_cache_without_budget_keeps_nothing():
    cache = PrefixCache(0)
    cache.put("a", memoryview(b"x"))
    assert len(cache) == cache.nbytes == 0


def test_clearing_forgets_all():
    cache = PrefixCache(10)
    cache.put("a", memoryview(b"x"))
    cache.clear()
    assert (cache.match(["a"]), cache.nbytes) == ([], 0)
