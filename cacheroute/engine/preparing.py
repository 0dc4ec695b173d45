"""`prepare` as a person sees it: a bar on a terminal, a line per step elsewhere.

Without an argument it prepares what the configuration's embedded engines load; `make setup` calls it so.
"""

import argparse
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from cacheroute import config as configuration
from cacheroute.engine.prepare import Progress, Report, prepare
from cacheroute.errors import ConfigError


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m cacheroute.engine.preparing", description=__doc__)
    parser.add_argument("model", nargs="?", help="a .gguf file or a Hugging Face directory; else as configured")
    parser.add_argument("--data", type=Path, help="the data directory; else as configured")
    asked = parser.parse_args(arguments)
    console = Console()
    try:
        config = configuration.load()
        data_dir = asked.data or config.paths.data_dir
        engines = config.engine.values()
        wanted = [asked.model] if asked.model else sorted({one.model for one in engines if one.kind == "embedded"})
        for source in wanted:
            with reporting(console) as report:
                prepared = prepare(source, data_dir, report)
            console.print(f"model {prepared.name} is ready in {prepared.path}", highlight=False, soft_wrap=True)
    except ConfigError as error:
        console.print(error.message, style="red", markup=False, soft_wrap=True)
        sys.exit(1)


@contextmanager
def reporting(console: Console) -> Generator[Report]:
    """A `Report` that shows on `console`; nothing appears where there is nothing to do."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("preparing the model", total=None)

        def show(progress: Progress) -> None:
            bar.update(task, description=progress.step, completed=progress.done, total=progress.total or None)

        yield show


def _lines(console: Console) -> Callable[[Progress], None]:
    """Each step once, as it begins."""
    said: set[str] = set()

    def show(progress: Progress) -> None:
        if progress.step not in said:
            said.add(progress.step)
            console.print(f"model: {progress.step}", highlight=False, markup=False, soft_wrap=True)

    return show


if __name__ == "__main__":
    main()
