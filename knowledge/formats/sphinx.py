"""reStructuredText as Sphinx knows it, for docutils: its directives and roles, and any other, as readable text.

Each name that a source uses and docutils cannot be trusted with is registered before it is parsed. Nothing here opens
a file: what includes one is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives, roles
from docutils.utils import unescape

from knowledge.formats.marks import names

_NAME = r"\w[\w.+:-]{0,60}"
_DIRECTIVE = re.compile(rf"\.\. +(?:\|[^|\n]{{1,200}}\| +)?({_NAME}) ?::(?:\s|$)")
_ROLE = re.compile(rf":({_NAME}):`|`:({_NAME}):")

_DOCUTILS = names(
    "attention caution danger error hint important note tip warning admonition sidebar topic parsed-literal math "
    "rubric epigraph highlights pull-quote compound container table csv-table list-table image figure replace unicode"
)
_DOCUTILS_ROLES = names("emphasis strong literal code math superscript sup subscript sub title-reference title t")
_SILENT = names(
    "index toctree highlight highlightlang module currentmodule py:module py:currentmodule sectionauthor moduleauthor "
    "codeauthor tabularcolumns contents include literalinclude raw role default-role title meta date sectnum "
    "section-numbering target-notes testsetup testcleanup program default-domain audit-event-table header footer "
    "automodule namespace c:namespace cpp:namespace highlights-language rst-class"
)
_LITERAL = names("code code-block sourcecode doctest testcode testoutput productionlist ipython prompt")
_PLAIN = names("only ifconfig glossary hlist centered acks")
_LABELS = {
    "seealso": "See also:", "impl-detail": "CPython implementation detail:", "availability": "Availability:",
    "todo": "To do:", "audit-event": "Auditing event:",
}  # fmt: skip
_VERSIONS = {
    "versionadded": "New in version {}:", "versionchanged": "Changed in version {}:",
    "deprecated": "Deprecated since version {}:", "deprecated-removed": "Deprecated since version {}, removed in {}:",
    "versionremoved": "Removed in version {}:",
}  # fmt: skip
_KINDS = {
    "class": "class ", "exception": "exception ", "classmethod": "classmethod ", "staticmethod": "static ",
    "coroutinefunction": "coroutine ", "coroutinemethod": "coroutine ", "abstractmethod": "abstract ",
    "decorator": "@", "decoratormethod": "@", "struct": "struct ", "enum": "enum ", "union": "union ",
}  # fmt: skip
_CALLED = frozenset({"func", "meth", "function", "method"})
_NUMBERED = {"pep": "PEP ", "rfc": "RFC ", "issue": "issue ", "gh": "gh-", "cve": "CVE-", "bpo": "bpo-"}
_TITLED = re.compile(r"(.*?\S)\s*<[^<>]*>", re.DOTALL)


def register(source: str) -> None:
    """Makes docutils understand each directive and role that `source` uses."""
    for name in {match[1].lower() for match in _DIRECTIVE.finditer(source)}:
        if name not in _DOCUTILS:
            directives.register_directive(name, _directive_for(name))
    for name in {(match[1] or match[2]).lower() for match in _ROLE.finditer(source)}:
        if name not in _DOCUTILS_ROLES:
            roles.register_local_role(name, _role)


class _AnyOption(dict[str, Callable[[str], str]]):
    """Takes whatever options a directive is given."""

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, name: str) -> Callable[[str], str]:
        return directives.unchanged


class _Lenient(Directive):
    """Takes any argument, option and content."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar[Any] = _AnyOption()

    def nested(self) -> list[Any]:
        parent = nodes.Element()
        if self.content:
            self.state.nested_parse(self.content, self.content_offset, parent)
        return list(parent.children)


class _Silent(_Lenient):
    def run(self) -> Sequence[Any]:
        return []


class _Literal(_Lenient):
    def run(self) -> Sequence[Any]:
        lines = list(self.content)
        language = self.arguments[0] if self.arguments else ""
        if self.name == "productionlist":
            lines = [line.replace("`", "") for line in (*self.arguments, *lines)]
            language = ""
        if self.name in ("doctest", "testcode", "testoutput"):
            language = ""  # the argument is a group of tests
        node = nodes.literal_block("", "\n".join(lines))
        node["language"] = language if re.fullmatch(r"[\w+#.-]{1,20}", language) else ""
        return [node]


class _Plain(_Lenient):
    """Its content, without its argument, which is a condition or a layout."""

    def run(self) -> Sequence[Any]:
        return self.nested()


class _Labelled(_Lenient):
    """A remark that begins with a word of its own; its argument is the first line of its text."""

    optional_arguments = 0

    def run(self) -> Sequence[Any]:
        label = _LABELS.get(self.name) or self._version()
        children = self.nested()
        if children and isinstance(children[0], nodes.paragraph):
            children[0].insert(0, nodes.Text(f"{label} "))
            return children
        return [nodes.paragraph("", f"{label.removesuffix(':')}{':' if children else '.'}"), *children]

    def _version(self) -> str:
        """The label with the versions that the text begins with, which are taken from it."""
        template = _VERSIONS[self.name]
        words = self.content[0].split(None, template.count("{}")) if self.content else []
        count = min(template.count("{}"), len(words))
        if self.content:
            self.content[0] = words[count] if len(words) > count else ""
        return template.format(*words[:count], *["?"] * (template.count("{}") - count))


class _Described(_Lenient):
    """Everything else: its argument, as a function's signature is, a line each; then its content."""

    def run(self) -> Sequence[Any]:
        children = self.nested()
        if not self.arguments:
            return children
        kind = self.name.rpartition(":")[2]
        lines = [line.strip() for line in self.arguments[0].replace("\\\n", " ").splitlines()]
        term = nodes.term()
        for index, line in enumerate(line for line in lines if line):
            term += nodes.Text("\n" if index else "")
            if "`" in line:
                term += self.state.inline_text(line, self.lineno)[0]
            else:
                term += nodes.Text(_KINDS.get(kind, "") + re.sub(r"\\(.)", r"\1", line))
        return [nodes.definition_list_item("", term, nodes.definition("", *children))]


def _directive_for(name: str) -> type[_Lenient]:
    if name in _SILENT or name.startswith("auto"):
        return _Silent
    if name in _LITERAL:
        return _Literal
    if name in _PLAIN:
        return _Plain
    return _Labelled if name in _LABELS or name in _VERSIONS else _Described


def _role(
    name: str,
    rawtext: str,
    text: str,
    lineno: int,
    inliner: object,
    options: Mapping[str, Any] | None = None,
    content: Sequence[str] | None = None,
) -> tuple[list[Any], list[Any]]:
    """A role's text as people read it: `open()` of :func:`open`, `Path` of :class:`~pathlib.Path`."""
    return [nodes.inline(rawtext, _said(name.lower().rpartition(":")[2], unescape(text)))], []


def _said(role: str, text: str) -> str:
    if titled := _TITLED.fullmatch(text):
        return titled[1]
    if role in _NUMBERED:
        return _NUMBERED[role] + text.partition("#")[0]
    if role in ("samp", "file"):
        return text.replace("{", "").replace("}", "")
    text = text.removeprefix("!")
    if text.startswith("~"):
        text = text[1:].rpartition(".")[2]
    return f"{text}()" if role in _CALLED and not text.endswith(")") else text
