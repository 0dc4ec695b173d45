"""A verb as a value: what it is called, what it takes, what it may do. Knows no verb in particular."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "path", "int", "float", "flag"]
Panel = Literal["stack", "knowledge", "answers", "roles"]

PANELS: dict[Panel, str] = {
    "stack": "The stack",
    "knowledge": "Knowledge",
    "answers": "Answers and figures",
    "roles": "Roles (what the Procfile starts)",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that a verb takes. `positional` is given by place, else by `--name`."""

    name: str
    help: str
    kind: Kind = "text"
    default: str | int | float | bool | None = None
    choices: tuple[str, ...] = ()
    positional: bool = False
    repeated: bool = False
    required: bool = False
    minimum: int | None = None
    variable: str = ""
    """The environment variable that gives it where the caller does not."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. `read_only` ones change nothing; `danger` ones destroy something and ask first."""

    name: str
    """One word, or a group and a word: `knowledge add`."""
    help: str
    panel: Panel
    parameters: tuple[Parameter, ...] = ()
    read_only: bool = False
    danger: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.name.split())
