"""One call of a verb: where its configuration is, what it may write to, whom it may ask. Loads only when asked."""

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cacheroute.cli.output import Output
from cacheroute.verb import Verb

if TYPE_CHECKING:  # `--help` must not pay for these
    from cacheroute.client import Client
    from cacheroute.config import Config
    from cacheroute.tokens import Tokens


class Invocation:
    """Handed to every verb. Properties raise ConfigError, once, where they are first needed."""

    def __init__(self, verb: Verb, config_file: str | None, out: Output) -> None:
        self.verb = verb
        self.out = out
        self._named = config_file

    @cached_property
    def config(self) -> "Config":
        from cacheroute.config import load

        return load(self._named)

    @cached_property
    def config_file(self) -> Path | None:
        """The file that `config` came from, absolute; None where defaults and the environment are all."""
        from cacheroute.config import resolved_path

        return resolved_path(self._named, os.environ)

    @cached_property
    def tokens(self) -> "Tokens":
        """The stack's secrets, made if this is the first call ever."""
        from cacheroute.tokens import ensure

        return ensure(self.config.paths.state_dir)

    def client(self) -> "Client":
        """A client of the roles that the configuration names; to be used in `async with`."""
        from cacheroute.client import Client

        return Client(self.config, self.tokens.control)
