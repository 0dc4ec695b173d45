import io
from pathlib import Path

import pytest
from fakes.tiny_models import tiny_llama, write_model
from rich.console import Console

from cacheroute.engine.prepare import Progress
from cacheroute.engine.preparing import main, reporting


def test_without_a_terminal_each_step_is_one_plain_line() -> None:
    out = io.StringIO()
    with reporting(Console(file=out, force_terminal=False)) as report:
        for done in range(5):
            report(Progress("checking [weights]", done, 5))
        report(Progress("writing"))
    assert out.getvalue() == "model: checking [weights]\nmodel: writing\n"


def test_on_a_terminal_there_is_a_bar_that_goes_away() -> None:
    out = io.StringIO()
    with reporting(Console(file=out, force_terminal=True, width=80)) as report:
        report(Progress("checking weights", 1, 2))
    assert "checking weights" in out.getvalue()
    assert "\x1b[2K" in out.getvalue()


def test_the_command_says_where_the_model_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_model(tiny_llama(), tmp_path / "mine")
    (directory / "tokenizer.json").write_text("{}")
    (directory / "chat_template.jinja").write_text("{{ messages }}")
    main([str(directory), "--data", str(tmp_path / "data")])
    assert f"model mine is ready in {directory}" in capsys.readouterr().out


def test_the_command_fails_with_every_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path), "--data", str(tmp_path / "data")])
    assert caught.value.code == 1
    out = capsys.readouterr().out
    assert "weights" in out
    assert "chat template" in out
