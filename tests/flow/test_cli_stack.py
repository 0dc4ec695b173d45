"""The stack as an operator handles it: the real command, a real supervisord, a real Valkey."""

import signal
import socket
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest
from fakes.operator import Operator, operator

pytestmark = pytest.mark.slow


@pytest.fixture
def person(tmp_path: Path) -> Generator[Operator]:
    with operator(tmp_path) as someone:
        yield someone


def _service(status: dict[str, list[dict[str, object]]], name: str) -> dict[str, object]:
    return next(service for service in status["services"] if service["name"] == name)


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _reachable(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def test_up_status_up_again_and_down(person: Operator) -> None:
    first = person.cacheroute("up", "--only", "kv-1")
    assert first.code == 0, first.err
    assert "cacheroute down" in first.out
    assert "kv-1" in first.err
    assert "READY" in first.err

    status = person.cacheroute("status", "--json")
    assert status.code == 1  # the others are not up
    kv = _service(status.json, "kv-1")
    assert (kv["state"], kv["ready"]) == ("READY", True)
    assert _service(status.json, "scheduler")["state"] == "STOPPED"

    again = person.cacheroute("up", "--only", "kv-1", "--json")
    assert again.code == 0
    assert (again.json["attached"], again.json["started"], again.json["running_before"]) == (True, [], ["kv-1"])
    assert _service(person.cacheroute("status", "--json").json, "kv-1")["pid"] == kv["pid"]

    supervisor = status.json["supervisor"]["pid"]
    down = person.cacheroute("down", "--json")
    assert (down.code, down.json["was_up"], down.json["stopped"]) == (0, True, ["kv-1"])
    assert not _runs(supervisor)
    assert not _reachable(person.ports["kvstore"])
    assert not list((person.home / "state").glob("*.sock"))
    assert "Nothing is running" in person.cacheroute("down").out


def test_a_busy_port_is_named_with_its_owner_and_nothing_is_started(person: Operator) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", person.ports["scheduler"]))
        holder.listen()
        done = person.cacheroute("up", "--only", "kv-1", "--only", "scheduler")
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert f"127.0.0.1:{person.ports['scheduler']}" in line
    assert f"pid {psutil.Process().pid}" in line
    assert not _reachable(person.ports["kvstore"])


def test_a_process_that_cannot_start_is_named_with_its_own_last_words(person: Operator) -> None:
    (person.home / "state").mkdir()
    (person.home / "state" / "kv-1.conf").mkdir()  # where the kv store wants to write its settings
    done = person.cacheroute("up", "--only", "kv-1", "--json")
    assert done.code == 1
    assert "kv-1 is not ready" in done.json["error"]["message"]
    assert "kv-1.conf" in done.json["error"]["message"]


def test_an_unknown_process_is_refused_with_those_there_are(person: Operator) -> None:
    done = person.cacheroute("up", "--only", "kv-9")
    assert done.code == 1
    assert "kv-1" in done.err


def test_after_ctrl_c_while_starting_down_still_cleans_up(person: Operator) -> None:
    process = person.start("up", "--only", "embedder")
    assert process.stderr is not None
    while "STARTING" not in (line := process.stderr.readline()):
        assert line, "it ended before anything started"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (0, 130)  # 0: it was ready in the same moment
    assert person.cacheroute("down").code == 0
    assert not _reachable(person.ports["embedder"])


def test_somebody_elses_server_that_does_not_answer_is_named_before_anything_starts(tmp_path: Path) -> None:
    with operator(tmp_path, engine='kind = "openai"\nurl = "http://127.0.0.1:1"') as person:
        done = person.cacheroute("up")
        assert done.code == 1
        assert "engine-1, which the configuration has at http://127.0.0.1:1, does not answer" in done.err
        assert not _reachable(person.ports["kvstore"])


def test_a_role_by_hand_runs_in_the_foreground_and_ends_on_sigterm(person: Operator) -> None:
    process = person.start("serve", "kvstore", "--name", "kv-1")
    while not _reachable(person.ports["kvstore"]):
        assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=20) == 0


def test_a_role_that_is_not_configured_is_named(person: Operator) -> None:
    done = person.cacheroute("serve", "kdn", "--name", "kdn-7")
    assert done.code == 1
    assert "there is no [kdn.kdn-7]; configured: kdn-1" in done.err


def test_knowledge_and_questions_need_a_stack_and_say_so(person: Operator) -> None:
    for words in (["ask", "why?"], ["knowledge", "list"], ["knowledge", "search", "x"], ["demo"]):
        done = person.cacheroute(*words)
        assert done.code == 1
        assert "cacheroute up" in done.err
        assert "Traceback" not in done.err
