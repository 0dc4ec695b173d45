"""Plans: what is valid, in which order it comes, and what it takes at least."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack import Entry, Plan, PlanError, Service, TcpProbe

ENTRY = Entry("run", "run it", 1)
Needs = dict[str, list[str]]


def service(name: str, *needs: str, port: int | None = None) -> Service:
    ports = () if port is None else (("127.0.0.1", port),)
    return Service(name=name, entry="run", ready=TcpProbe("127.0.0.1", 1), needs=needs, ports=ports)


def plan(needs: Needs) -> Plan:
    return Plan("/", (ENTRY,), tuple(service(name, *them) for name, them in needs.items()))


@st.composite
def graphs(draw: st.DrawFn) -> Needs:
    """Without cycles: each node needs only nodes before it, and the names say nothing of that order."""
    names = draw(st.permutations([f"s{i}" for i in range(draw(st.integers(0, 8)))]))
    needs = {name: draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else [] for i, name in enumerate(names)}
    return {name: needs[name] for name in draw(st.permutations(names))}


@st.composite
def any_graphs(draw: st.DrawFn) -> Needs:
    names = [f"s{i}" for i in range(draw(st.integers(1, 5)))]
    return {name: draw(st.lists(st.sampled_from(names), unique=True)) for name in names}


@given(graphs())
def test_order_respects_needs_and_breaks_ties_lexicographically(needs: Needs) -> None:
    done: list[str] = []
    for name in plan(needs).order():
        may_come = [n for n in needs if n not in done and set(needs[n]) <= set(done)]
        assert name == min(may_come)
        done.append(name)
    assert sorted(done) == sorted(needs)
    assert plan(needs).reverse_order() == tuple(reversed(done))


@given(any_graphs())
def test_a_plan_is_refused_exactly_when_something_needs_itself_in_the_end(needs: Needs) -> None:
    def reaches(start: str) -> set[str]:
        found: set[str] = set()
        pending = list(needs[start])
        while pending:
            if (name := pending.pop()) not in found:
                found.add(name)
                pending += needs[name]
        return found

    if any(name in reaches(name) for name in needs):
        with pytest.raises(PlanError, match="cycle: "):
            plan(needs)
    else:
        plan(needs)


@given(graphs(), st.data())
def test_those_with_their_needs_are_the_chosen_and_all_that_they_need_and_no_more(
    needs: Needs, data: st.DataObject
) -> None:
    chosen = data.draw(st.sets(st.sampled_from(sorted(needs)))) if needs else set[str]()
    whole = plan(needs)
    names = whole.with_needs(chosen)
    assert chosen <= names
    assert all(need in names for name in names for need in needs[name])
    assert all(name in chosen or any(name in needs[user] for user in names) for name in names)
    for name in names:
        assert {user for user in needs if name in whole.with_needs([user])} == whole.with_dependants([name])


def test_all_faults_are_told_at_once() -> None:
    services = (
        service("a", "b"),
        service("b", "a", port=7001),
        service("c", "ghost", port=7001),
        service("c"),
        service("bad name"),
        Service(name="d", entry="nothing", ready=TcpProbe("h", 1), env={"1X": ""}, grace_s=0),
    )
    with pytest.raises(PlanError) as caught:
        Plan("relative", (ENTRY,), services)
    told = "\n".join(caught.value.problems)
    for fault in (
        "a needs b needs a",
        "c: defined 2 times",
        "needs 'ghost'",
        "'bad name' is not a name",
        "no line 'nothing'; it has run",
        "'1X' is not a name for an environment variable",
        "grace_s",
        "one address for both, 127.0.0.1:7001",
        "'relative' is not absolute",
    ):
        assert fault in told, fault


def test_an_unknown_name_is_told_with_those_that_exist() -> None:
    with pytest.raises(PlanError, match="no service 'kd'; there are kdn, kv"):
        plan({"kv": [], "kdn": ["kv"]}).with_needs(["kd"])


def test_a_plan_survives_json() -> None:
    before = plan({"kv": [], "kdn": ["kv"]})
    assert msgspec.json.decode(msgspec.json.encode(before), type=Plan) == before


def test_what_is_up_keeps_its_definition_until_it_is_stopped() -> None:
    running = plan({"kv": [], "kdn": ["kv"], "old": ["kdn"]})
    wanted = Plan("/", (Entry("run", "run it better", 1),), (service("kv"), service("kdn"), service("new", "kdn")))
    merged = wanted.over(running, up=["kdn", "old"])
    assert merged["kdn"].needs == ("kv",)
    assert set(merged.order()) == {"kv", "kdn", "old", "new"}
    assert merged.argv(merged["kdn"]) == ("run", "it")
    assert set(merged.differing(wanted)) == {"kv", "kdn", "old", "new"}  # all run the line as it was
    assert wanted.over(running, up=[]) == wanted
