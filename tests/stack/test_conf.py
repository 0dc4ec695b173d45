"""supervisord's configuration: what we write is what supervisord's own parser reads back, or is refused."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.datatypes import dict_of_key_value_pairs
from supervisor.options import UnhosedConfigParser

from stack import Entry, Plan, PlanError, Service, TcpProbe
from stack.conf import render, stop_wait_s

TEXT = st.text(st.sampled_from("ab %;#'\"=,\\()s\t\nhere$é"), max_size=12)


def rendered(argv: list[str], env: dict[str, str], grace_s: float = 1) -> UnhosedConfigParser:
    service = Service(name="web", entry="web", ready=TcpProbe("h", 1), env=env, grace_s=grace_s)
    plan = Plan("/srv/100%", (Entry("web", shlex.join(argv), 1),), (service,))
    parser = UnhosedConfigParser()
    parser.read_string(render(plan, Path("/run/s"), Path("/run/pid"), Path("/var/log")))
    parser.expand_here("/somewhere/else")
    return parser


@given(st.lists(st.text(st.sampled_from("ab %;#'\"=,\\()s\téhere"), max_size=12), min_size=1), TEXT)
def test_command_and_environment_reach_the_process_unchanged_or_are_refused(argv: list[str], value: str) -> None:
    env = {"PLAIN": "x", "VALUE": value, "LAST": "y"}
    try:
        parser = rendered(argv, env)
    except PlanError:
        return
    command = parser.saneget("program:web", "command")
    assert shlex.split(command) in (argv, ["/bin/sh", "-c", shlex.join(argv)])
    assert dict_of_key_value_pairs(parser.saneget("program:web", "environment")) == {"PYTHONSAFEPATH": "1", **env}
    assert parser.saneget("program:web", "directory") == "/srv/100%"


def test_a_value_that_cannot_be_said_is_named_by_service_and_variable() -> None:
    with pytest.raises(PlanError) as caught:
        rendered(["run"], {"A": "two\nlines", "B": "fine", "C": "'\""})
    assert [problem.split(" (")[0] for problem in caught.value.problems] == [
        "web: supervisord cannot be told the value of A",
        "web: supervisord cannot be told the value of C",
    ]


@pytest.mark.parametrize("value", ["100%", "%(ENV_HOME)s", '{"a": [1, "b"]}', "it's", "a=b,c=d", "", "tok;en#1"])
def test_ordinary_awkward_values_can_be_said(value: str) -> None:
    environment = rendered(["run"], {"V": value}).saneget("program:web", "environment")
    assert dict_of_key_value_pairs(environment)["V"] == value


def test_nothing_starts_by_itself_and_groups_end_together() -> None:
    parser = rendered(["run"], {})
    section = dict(parser.items("program:web"))
    assert section["autostart"] == "false"
    assert section["stopasgroup"] == section["killasgroup"] == "true"


@pytest.mark.parametrize(("grace_s", "seconds"), [(0.2, 1), (1, 1), (1.5, 2), (10, 10)])
def test_a_grace_is_rounded_up_to_whole_seconds(grace_s: float, seconds: int) -> None:
    service = Service(name="web", entry="web", ready=TcpProbe("h", 1), grace_s=grace_s)
    assert stop_wait_s(service) == seconds
