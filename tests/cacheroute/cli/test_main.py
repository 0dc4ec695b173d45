import json
import subprocess
import sys
from pathlib import Path

import pytest

from cacheroute.cli.binding import load
from cacheroute.cli.main import HANDLERS, run
from cacheroute.errors import Unavailable
from cacheroute.verbs import VERBS
from stack.errors import PortsTaken

CACHEROUTE = str(Path(sys.executable).with_name("cacheroute"))
HEAVY = (
    "torch", "transformers", "sentence_transformers", "aiohttp", "httpx", "textual", "redis", "supervisor", "numpy",
    "msgspec", "psutil",
)  # fmt: skip


def test_every_verb_has_a_handler_that_exists_and_nothing_else_has() -> None:
    assert HANDLERS.keys() == {verb.name for verb in VERBS}
    for handler in set(HANDLERS.values()):
        assert callable(load(handler))


def test_every_verb_takes_json_and_config(capfd: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        assert run([*verb.words, "--help"]) == 0
        shown = capfd.readouterr().out
        assert "--json" in shown
        assert "--config" in shown
        for parameter in verb.parameters:
            assert (parameter.name.upper() if parameter.positional else f"--{parameter.name}") in shown


def test_the_roles_stand_apart_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    shown = capfd.readouterr().out
    places = [shown.index(title) for title in ("─ The stack", "─ Answers", "─ Knowledge", "─ Roles")]
    assert places == sorted(places)


def test_building_the_command_line_imports_nothing_heavy() -> None:
    code = (
        "import sys; from cacheroute.cli.main import run; run(['--help']);"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_wrong_usage_exits_2_and_says_what_is_possible(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["up", "--oly", "kv-1"]) == 2
    assert "--only" in capfd.readouterr().err


def test_wrong_usage_with_json_is_an_error_object_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "--json"]) == 2
    said = capfd.readouterr()
    assert json.loads(said.out)["error"]["code"] == "usage"
    assert said.err == ""


FIVE_MISTAKES = """
[scheduler]
port = "seven"
prot = 7001
[proxy.pool-1]
strategy = "best"
[instance.instance-1]
engine = 4
[kdn.kdn-1]
quota_mb = "all"
"""


def test_a_configuration_with_five_mistakes_has_all_five_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(FIVE_MISTAKES)
    assert run(["status", "--config", str(file)]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 5
    assert all(f"{file}:" in line for line in lines)
    assert all(any(key in line for line in lines) for key in ("port", "prot", "strategy", "engine", "quota_mb"))


def test_a_configuration_that_is_not_there_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--config", str(tmp_path / "none.toml")]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "none.toml" in line


def test_errors_with_json_are_objects_with_message_type_and_code(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["status", "--json", "--config", str(tmp_path / "none.toml")]) == 1
    said = capfd.readouterr()
    assert json.loads(said.out)["error"].keys() == {"message", "type", "code"}
    assert said.err == ""


def _raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def handler(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("cacheroute.cli.status.status", handler)
    return run(["status"])


def test_every_problem_of_a_stack_is_a_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    assert _raises(monkeypatch, PortsTaken("scheduler: 7001 is taken by pid 1", "kv-1: 7379 is taken by pid 2")) == 1
    assert len(capfd.readouterr().err.splitlines()) == 2


def test_problems_that_came_together_are_all_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    both = ExceptionGroup("two", [Unavailable("no engine"), ExceptionGroup("one", [FileNotFoundError(2, "None", "f")])])
    assert _raises(monkeypatch, both) == 1
    assert capfd.readouterr().err.splitlines() == ["cacheroute: no engine", "cacheroute: f: none"]


def test_a_defect_among_them_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExceptionGroup):
        _raises(monkeypatch, ExceptionGroup("two", [Unavailable("no engine"), ZeroDivisionError()]))


def test_foreign_escape_sequences_in_an_error_do_not_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _raises(monkeypatch, Unavailable("engine says \x1b]0;owned\x07 [bold]x[/bold]")) == 1
    said = capfd.readouterr().err
    assert "\x1b" not in said
    assert "[bold]x[/bold]" in said


def test_ctrl_c_is_130_and_quiet(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    assert _raises(monkeypatch, KeyboardInterrupt()) == 130
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_a_defect_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        _raises(monkeypatch, ZeroDivisionError("ours"))


def test_a_reader_that_closes_early_leaves_no_traceback() -> None:
    done = subprocess.run(f"{CACHEROUTE} --help | head -1", shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
