"""`cacheroute-console`: checks that there is a terminal and a configuration, then opens the screen."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

from cacheroute.config import Config, load
from cacheroute.errors import ConfigError
from cacheroute.sanitise import for_terminal
from console.views import StackView, TrafficView

NO_TERMINAL = "cacheroute-console needs a terminal for input and output; elsewhere use `cacheroute status --json`"


def main() -> NoReturn:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """The exit code: 0 after detaching, 1 for a bad configuration, 2 without a terminal or for wrong usage."""
    parser = argparse.ArgumentParser("cacheroute-console", description="A live view of the stack; `q` detaches.")
    parser.add_argument("--config", help="the configuration file")
    options = parser.parse_args(arguments)
    # Textual draws on stderr
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        sys.stderr.write(NO_TERMINAL + "\n")
        return 2
    try:
        config = load(options.config)
    except ConfigError as error:
        sys.stderr.writelines(f"cacheroute-console: {for_terminal(problem)}\n" for problem in error.problems)
        return 1
    from console.app import ConsoleApp  # costs a quarter of a second: not for a wrong option

    app = ConsoleApp(partial(_feed, config))
    app.run()
    return app.return_code or 0


async def _feed(config: Config, show: Callable[[StackView | TrafficView], None]) -> None:
    """The real feed, imported beside the running screen, after its first paint."""
    import asyncio
    from importlib import import_module

    feed = await asyncio.to_thread(import_module, "console.feed")
    await feed.follow(config, show)
