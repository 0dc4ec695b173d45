"""Which files the corpus is made of, and the questions about it whose document is known.

The questions are about the sources of Python's documentation as Debian packages them, which is no part of this
project. Reads names and the questions, no document.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec
from msgspec import Struct

from cacheroute.errors import BadRequest, NotFound
from cacheroute.wire.retrieval import Labelled

CORPUS = "CACHEROUTE_CORPUS"
KEEP = "CACHEROUTE_BENCH_KEEP"
FILES = "CACHEROUTE_BENCH_FILES"
DEBIAN = Path("/usr/share/doc/python3.11/html/_sources")
INSTALL = "apt-get install python3.11-doc"


class Corpus(Struct, frozen=True, kw_only=True):
    """What to register. `most_files`: 0 takes all of them. `keep`: leave the collection where it is afterwards."""

    folder: Path
    most_files: int = 0
    keep: bool = False


def corpus(env: Mapping[str, str], debian: Path = DEBIAN) -> Corpus:
    """What the environment names, else Debian's. Raises NotFound where there is neither, BadRequest."""
    named = env.get(CORPUS)
    folder = Path(named).expanduser() if named else debian
    if not folder.is_dir():
        raise NotFound(
            f"{CORPUS} names {folder}, which is no folder"
            if named
            else f"no corpus: there is no {folder} ({INSTALL} brings it), and {CORPUS} names no other folder"
        )
    most = env.get(FILES) or "0"
    if not (most.isascii() and most.isdecimal()):
        raise BadRequest(f"{FILES} must be a number of files, not {most!r}")
    return Corpus(folder=folder, most_files=int(most), keep=bool(env.get(KEEP)))


def questions() -> tuple[Labelled, ...]:
    """Those without a document have no answer in the corpus."""
    lines = (files("cacheroute.bench") / "data" / "python_docs.jsonl").read_text("utf-8").splitlines()
    return tuple(msgspec.json.decode(line, type=Labelled) for line in lines)


def is_of(source: str, document: str) -> bool:
    """Whether a labelled document's name is the end of this source."""
    return bool(document) and f"/{source}".endswith(f"/{document}")


def some_of(paths: Sequence[Path], asked: Sequence[Labelled], most: int) -> list[Path]:
    """Every file that is asked about, and others from all over the list until there are `most`, in their order."""
    wanted = {path for path in paths if any(is_of(path.as_posix(), each.document) for each in asked)}
    others = [path for path in paths if path not in wanted]
    room = min(max(0, most - len(wanted)), len(others))
    wanted.update(others[number * len(others) // room] for number in range(room))
    return [path for path in paths if path in wanted]
