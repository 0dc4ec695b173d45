"""Verbs -> typer commands. A command's signature is made from the verb's parameters; its handler is imported when
the verb is called, so that building the whole command line costs nothing of what the verbs need.
"""

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cacheroute.cli.invocation import Invocation
from cacheroute.cli.output import Output
from cacheroute.verb import Parameter, Verb

_KINDS: dict[str, Any] = {"text": str, "path": Path, "int": int, "float": float, "flag": bool}

_JSON = Parameter("json", "Print one JSON document.", kind="flag", default=False)
_CONFIG = Parameter("config", "The configuration file.", variable="CACHEROUTE_CONFIG")


def command(verb: Verb, handler: str) -> Callable[..., None]:
    """The function that typer turns into a command: calls `handler` ("module:function") with an Invocation and,
    by keyword, what the verb takes. A handler that returns a number other than 0 ends the program with it.
    """

    def call(**values: Any) -> None:
        invocation = Invocation(verb, values.pop("config"), Output(as_json=values.pop("json")))
        if code := load(handler)(invocation, **values):
            raise typer.Exit(code)

    parameters = [_parameter(parameter) for parameter in (*verb.parameters, _CONFIG, _JSON)]
    call.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    call.__annotations__ = {}  # what typer reads is the signature
    return call


def load(handler: str) -> Callable[..., int | None]:
    """The function that "module:function" names."""
    module, _, name = handler.partition(":")
    return getattr(import_module(module), name)


def _parameter(parameter: Parameter) -> inspect.Parameter:
    kind: Any = Literal[parameter.choices] if parameter.choices else _KINDS[parameter.kind]
    default: Any = parameter.default
    if parameter.repeated:
        kind, default = list[kind], []
    elif default is None and not parameter.required:
        kind = kind | None
    return inspect.Parameter(
        parameter.name.replace("-", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if parameter.required else default,
        annotation=Annotated[kind, _info(parameter)],
    )


def _info(parameter: Parameter) -> Any:
    shared: dict[str, Any] = {"help": parameter.help, "min": parameter.minimum, "show_envvar": False}
    if parameter.variable:
        shared["envvar"] = parameter.variable
    if parameter.default is None:
        shared["show_default"] = False
    if parameter.positional:
        return typer.Argument(metavar=parameter.name.upper(), **shared)
    flag = f"--{parameter.name}"
    if parameter.kind == "flag" and parameter.default is True:
        flag = f"{flag}/--no-{parameter.name}"
    return typer.Option(flag, **shared)
