"""What was considered for a request can be asked; a follow-up finds its block; the threshold is fitted and kept."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from fakes.roles import Roles, config_for, running_with_knowledge

VALVES = "The Kelmar valve opens at seven bar. It was tested in the Dunlin harbour by two engineers for a week."
FERRIES = "The Dunlin ferry leaves at noon. It carries forty carts and a brass bell to the Kelmar island."
ASKED = "At how many bar does the Kelmar valve open?"
QUESTIONS = [
    {"question": ASKED, "document": "valves.md", "phrase": "seven bar"},
    {"question": "How many carts does the Dunlin ferry carry?", "document": "ferries.md"},
    {"question": "Which colour has the Kelmar bridge?"},
    {"question": "Who owns the Dunlin bakery?"},
]


@pytest.fixture
async def roles(tmp_path: Path) -> AsyncGenerator[Roles]:
    async with running_with_knowledge(config_for(tmp_path)) as started:
        yield started


async def test_a_request_tells_what_was_considered_for_it_also_where_nothing_was_used(roles: Roles) -> None:
    [valves] = await roles.learn("valves.md", VALVES, title="Valves")
    [ferries] = await roles.learn("ferries.md", FERRIES, title="Ferries")
    _, headers, _ = await roles.chat(ASKED)
    trace = await roles.control("GET", f"/debug/requests/{headers['X-Request-ID']}")
    assert (trace["request_id"], trace["knowledge"]) == (headers["X-Request-ID"], [valves])
    assert [block["kid"] for block in trace["considered"]] == [valves, ferries]
    used, other = trace["considered"]
    assert (used["title"], used["reason"]) == ("Valves", f"accepted: confidence {used['confidence']:.2f}")
    assert used["confidence"] > other["confidence"]
    assert "text" not in used
    _, headers, _ = await roles.chat("Which owl nests above the frozen quarry?")
    trace = await roles.control("GET", f"/debug/requests/{headers['X-Request-ID']}")
    assert trace["knowledge"] == []
    assert trace["considered"][0]["reason"].startswith("below-gate: ")


async def test_a_request_that_is_not_kept_is_not_found(roles: Roles) -> None:
    answer = await roles.control("GET", "/debug/requests/no-such-id")
    assert answer["error"]["code"] == "not_found"
    assert "no-such-id" in answer["error"]["message"]


async def test_a_follow_up_is_looked_up_with_the_turn_before_and_a_new_subject_is_not(roles: Roles) -> None:
    [valves] = await roles.learn("valves.md", VALVES, title="Valves")
    await roles.learn("ferries.md", FERRIES, title="Ferries")
    for question, kids in (("And who tested it there?", [valves]), ("And what is it that owls eat?", [])):
        asked = {"query": question, "previous": "Where was the Kelmar valve tested before it opens at seven bar?"}
        found = await roles.control("POST", "/v1/search", asked)
        assert [block["kid"] for block in found["accepted"]] == kids, found["reason"]
    alone = await roles.control("POST", "/v1/search", {"query": "And who tested it there?"})
    assert alone["accepted"] == []


async def test_the_threshold_is_fitted_kept_over_a_restart_and_told_with_each_search(roles: Roles) -> None:
    await roles.learn("valves.md", VALVES, title="Valves")
    await roles.learn("ferries.md", FERRIES, title="Ferries")
    shipped = await roles.control("GET", "/v1/calibrate")
    assert (shipped["questions"], shipped["fitted_at"]) == (0, "")
    fitted = await roles.control("POST", "/v1/calibrate", {"questions": QUESTIONS})
    assert (fitted["questions"], fitted["answerable"], fitted["blocks"]) == (4, 2, 2)
    assert fitted["before"] == shipped["threshold"] != fitted["threshold"]
    await roles.stop("scheduler")
    await roles.start("scheduler")
    assert await roles.control("GET", "/v1/calibrate") == fitted
    found = await roles.control("POST", "/v1/search", {"query": ASKED})
    assert found["threshold"] == fitted["threshold"]


async def test_bad_questions_are_refused_with_their_number(roles: Roles) -> None:
    await roles.learn("valves.md", VALVES)
    for questions, why in (
        ([], "no questions"),
        ([*QUESTIONS[:1], {"question": "Who?", "document": "iron.md"}], "question 2"),
        ([{"question": "Who?", "answer": "me"}], "answer"),
    ):
        answer = await roles.control("POST", "/v1/calibrate", {"questions": questions})
        assert why in answer["error"]["message"], answer
