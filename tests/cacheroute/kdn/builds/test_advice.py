from cacheroute.kdn.builds.advice import Known, advise
from cacheroute.kdn.builds.wishes import Wish
from cacheroute.wire.artifacts import Artifact

TOKENS = dict.fromkeys("abcdefgh", 100)


def wished(**requests):
    return {Wish(tuple(kids), "chat", "f"): count for kids, count in requests.items()}


def artifact(kids, n_tokens=0, whole_tokens=0, rendering="chat"):
    n_tokens = n_tokens or 100 * len(kids)
    return Artifact(
        id=kids,
        kids=tuple(kids),
        rendering=rendering,
        fingerprint="f",
        n_tokens=n_tokens,
        whole_tokens=whole_tokens or n_tokens,
        keys=(),
        nbytes=1,
    )


def advised(wishes, *artifacts, tokens=TOKENS, context=8192, limit=100):
    known = Known(artifacts, tokens, {"f": context})
    return [
        ("".join(each.kids), each.requests, each.missing_tokens, each.gain) for each in advise(wishes, known, limit)
    ]


def test_what_was_wished_most_times_tokens_comes_first():
    assert advised(wished(a=3, b=1), tokens={"a": 100, "b": 500}) == [("b", 1, 500, 500), ("a", 3, 100, 300)]


def test_a_prefix_gathers_the_requests_of_all_sets_that_begin_with_it():
    best, *others = advised(wished(abc=4, abd=4, abe=4))
    assert best == ("ab", 12, 200, 2400)
    assert [(kids, missing) for kids, _, missing, _ in others] == [("abc", 100), ("abd", 100), ("abe", 100)]


def test_no_two_pieces_of_advice_promise_the_same_tokens():
    assert advised(wished(abc=5)) == [("abc", 5, 300, 1500)]
    assert advised(wished(ab=9, abc=1)) == [("ab", 10, 200, 2000), ("abc", 1, 100, 100)]


def test_what_there_is_kv_of_is_not_missing():
    assert advised(wished(ab=5), artifact("ab")) == []
    assert advised(wished(ab=5), artifact("a")) == [("ab", 5, 100, 500)]
    assert advised(wished(ab=5), artifact("b")) == [("ab", 5, 200, 1000)]
    assert advised(wished(ab=5), artifact("a", rendering="completions")) == [("ab", 5, 200, 1000)]


def test_of_a_partial_artifact_the_rest_is_missing():
    assert advised(wished(a=5), artifact("a", n_tokens=60, whole_tokens=100)) == [("a", 5, 40, 200)]


def test_tokens_that_were_counted_once_are_better_than_an_estimate():
    assert advised(wished(ab=5), artifact("ab", n_tokens=10, whole_tokens=170)) == [("ab", 5, 160, 800)]


def test_what_does_not_fit_the_context_is_left_out_but_its_beginning_is_not():
    assert advised(wished(abc=5), context=250) == [("ab", 5, 200, 1000)]


def test_what_needs_a_text_that_is_gone_or_an_engine_that_is_not_there_is_left_out():
    assert advised(wished(azb=5)) == [("a", 5, 100, 500)]
    assert advise(wished(ab=5), Known((), TOKENS, {"g": 8192}), 9) == ()


def test_what_was_wished_too_long_ago_is_no_advice_and_the_limit_holds():
    assert advised(wished(a=0.3, b=2, c=1), limit=1) == [("b", 2, 100, 200)]
    assert [kids for kids, *_ in advised(wished(a=0.3, b=2, c=1))] == ["b", "c"]
