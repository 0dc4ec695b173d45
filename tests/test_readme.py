"""The README says only what is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PACKAGES = ("cacheroute", "knowledge", "profiles", "stack", "console")


def _named_paths() -> list[str]:
    """Paths in code spans and links that look like this project's files."""
    spans = re.findall(r"`([^`\n]+)`|\]\(([^)\s]+)\)", README)
    words = [first or second for first, second in spans]
    roots = "|".join((*PACKAGES, "docs", r"\.ci"))
    return sorted({word for word in words if re.fullmatch(rf"(?:{roots})/[\w./-]+", word) and "<" not in word})


@pytest.mark.parametrize("path", _named_paths())
def test_every_path_that_it_names_exists(path):
    assert (ROOT / path).exists()


def test_the_tree_names_every_package_and_every_role():
    tree = README.split("## The tree")[1].split("## Where")[0]
    folders = [path.name for path in (ROOT / "cacheroute").iterdir() if (path / "__init__.py").exists()]
    missing = [name for name in (*PACKAGES, *folders) if f"{name}/" not in tree]
    assert not missing


def test_every_decision_is_in_the_index():
    index = (ROOT / "docs/decisions/README.md").read_text()
    numbered = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert numbered
    assert [path.name for path in numbered if f"({path.name})" not in index] == []
