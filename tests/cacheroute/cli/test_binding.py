from typing import Any

import pytest
import typer

from cacheroute.cli.binding import command
from cacheroute.cli.invocation import Invocation
from cacheroute.verb import Parameter, Verb


def call(verb: Verb, *arguments: str) -> tuple[Any, dict[str, Any]]:
    """What one command line returns, and what its handler was given."""
    given: dict[str, Any] = {}

    def handler(invocation: Invocation, **values: Any) -> int:
        given.update(verb=invocation.verb.name, json=invocation.out.as_json, **values)
        return 3

    app = typer.Typer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cacheroute.cli.binding.load", lambda name: handler)
        app.command()(command(verb, "somewhere:handler"))
        return app(list(arguments), standalone_mode=False), given


VERB = Verb(
    "try it",
    "Tries.",
    "stack",
    (
        Parameter("what", "What.", positional=True, repeated=True, required=True),
        Parameter("max-tokens", "How many.", kind="int", default=5, minimum=1),
        Parameter("mode", "How.", default="auto", choices=("auto", "kv")),
        Parameter("stream", "Whether.", kind="flag", default=True),
        Parameter("name", "Who.", variable="TRY_NAME"),
    ),
)


def test_the_handler_gets_every_parameter_by_keyword_with_the_defaults_of_the_table() -> None:
    code, given = call(VERB, "a", "b")
    assert code == 3
    assert given == {
        "verb": "try it", "json": False,
        "what": ["a", "b"], "max_tokens": 5, "mode": "auto", "stream": True, "name": None,
    }  # fmt: skip


def test_options_are_read_as_the_table_types_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRY_NAME", "kdn-2")
    _, given = call(VERB, "a", "--max-tokens", "9", "--mode", "kv", "--no-stream", "--json")
    assert (given["max_tokens"], given["mode"], given["stream"]) == (9, "kv", False)
    assert (given["json"], given["name"]) == (True, "kdn-2")


@pytest.mark.parametrize("wrong", [["--max-tokens", "0"], ["--mode", "fast"], ["--max-tokens", "many"]])
def test_what_the_table_does_not_allow_is_wrong_usage(wrong: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        call(VERB, "a", *wrong)
