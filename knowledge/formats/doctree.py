"""A docutils tree -> Markdown. Knows its node classes, not how they came about; leaves out what is not for readers:
comments, targets, messages of the parser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from docutils import nodes

from knowledge.formats.marks import fenced, heading, indented, item, one_line, table

_LEFT_OUT = (
    nodes.comment, nodes.target, nodes.substitution_definition, nodes.pending, nodes.system_message, nodes.raw,
    nodes.transition, nodes.decoration, nodes.meta, nodes.label,
)  # fmt: skip
_ORDERED = {
    "arabic": str,
    "loweralpha": lambda n: chr(96 + (n - 1) % 26 + 1),
    "upperalpha": lambda n: chr(65 + (n - 1) % 26),
}


def markdown(document: Any) -> str:
    """The whole text, blocks apart by empty lines."""
    return "\n\n".join(_Renderer().children(document))


def title_of(document: Any) -> str | None:
    """The first heading."""
    title = next(iter(document.findall(nodes.title)), None)
    return one_line(_Renderer().inline(title)) if title is not None else None


class _Renderer:
    """`blocks` of one node as texts. `level` is that of the next heading."""

    def __init__(self) -> None:
        self._level = 1
        self._by_class: dict[type[Any], Callable[[Any], list[str]]] = {
            nodes.section: self._section,
            nodes.title: lambda node: [heading(self._level, self.inline(node))],
            nodes.subtitle: lambda node: [self._paragraph(node)],
            nodes.paragraph: lambda node: [self._paragraph(node)],
            nodes.rubric: lambda node: [f"**{self._paragraph(node)}**"],
            nodes.literal_block: self._literal,
            nodes.doctest_block: self._literal,
            nodes.math_block: lambda node: [fenced(node.astext(), "math")],
            nodes.bullet_list: self._bullets,
            nodes.enumerated_list: self._numbers,
            nodes.definition_list_item: self._definition,
            nodes.field: self._field,
            nodes.option_list_item: self._option,
            nodes.line_block: lambda node: ["\n".join(_lines(node))],
            nodes.table: self._table,
            nodes.topic: self._titled,
            nodes.sidebar: self._titled,
            nodes.admonition: self._titled,
            nodes.footnote: self._footnote,
            nodes.citation: self._footnote,
            nodes.image: lambda node: [node["alt"]] if node.get("alt") else [],
            nodes.problematic: lambda node: [self._paragraph(node)],
        }

    def children(self, node: Any) -> list[str]:
        return [block for child in node.children for block in self.blocks(child) if block.strip()]

    def blocks(self, node: Any) -> list[str]:
        if isinstance(node, _LEFT_OUT):
            return []
        if isinstance(node, nodes.Text):
            return [one_line(node.astext())]
        if type(node) in self._by_class:
            return self._by_class[type(node)](node)
        if isinstance(node, nodes.Admonition):
            return self._beside(f"{type(node).__name__.capitalize()}:", self.children(node), " ")
        if isinstance(node, (nodes.Inline, nodes.TextElement)):
            return [self._paragraph(node)]
        return self.children(node)

    def inline(self, node: Any) -> str:
        """The text of what stands in a line; line breaks of the source are kept."""
        if isinstance(node, nodes.Text):
            return node.astext()
        if isinstance(node, _LEFT_OUT) and not isinstance(node, nodes.target):
            return ""
        if isinstance(node, nodes.literal):
            text = node.astext()
            return f"`{text}`" if "`" not in text else text
        if isinstance(node, nodes.image):
            return node.get("alt", "")
        text = "".join(self.inline(child) for child in node.children)
        if isinstance(node, (nodes.footnote_reference, nodes.citation_reference)):
            return f"[{text}]"
        return f"**{text}**" if isinstance(node, nodes.strong) else text

    def _paragraph(self, node: Any) -> str:
        return one_line(self.inline(node))

    def _section(self, node: Any) -> list[str]:
        title, rest = [], node.children
        if rest and isinstance(rest[0], nodes.title):
            title, rest = self.blocks(rest[0]), rest[1:]
        self._level += 1
        try:
            return [*title, *(block for child in rest for block in self.blocks(child) if block.strip())]
        finally:
            self._level -= 1

    def _literal(self, node: Any) -> list[str]:
        language = node.get("language", "")
        return [fenced(node.astext().expandtabs(), language)]

    def _bullets(self, node: Any) -> list[str]:
        return _joined(item("-", self.children(child)) for child in node.children)

    def _numbers(self, node: Any) -> list[str]:
        first, name = node.get("start", 1), _ORDERED.get(node.get("enumtype", "arabic"), str)
        return _joined(
            item(f"{name(number)}.", self.children(child)) for number, child in enumerate(node.children, first)
        )

    def _definition(self, node: Any) -> list[str]:
        """The term, and under it, without a gap, what is said of it."""
        terms = [self.inline(child) for child in node.children if isinstance(child, (nodes.term, nodes.classifier))]
        return self._beside(
            " : ".join(terms),
            [block for child in node.children if isinstance(child, nodes.definition) for block in self.children(child)],
            "\n",
        )

    def _field(self, node: Any) -> list[str]:
        """An empty one is a setting of the page's, not its text."""
        name, body = node.children
        blocks = self.children(body)
        return self._beside(f"{self._paragraph(name)}:", blocks, " ") if blocks else []

    def _option(self, node: Any) -> list[str]:
        group, description = node.children
        options = ", ".join(child.astext().replace("\n", " ") for child in group.children)
        return self._beside(f"`{options}`", self.children(description), " ")

    def _titled(self, node: Any) -> list[str]:
        titles = [self._paragraph(child) for child in node.children if isinstance(child, nodes.title)]
        if isinstance(node, nodes.topic) and "contents" in node["classes"]:
            return []
        body = [block for child in node.children if not isinstance(child, nodes.title) for block in self.blocks(child)]
        return [*(f"**{title}**" for title in titles), *body]

    def _footnote(self, node: Any) -> list[str]:
        labels = [child.astext() for child in node.children if isinstance(child, nodes.label)]
        return self._beside(f"[{labels[0] if labels else '#'}]", self.children(node), " ")

    def _table(self, node: Any) -> list[str]:
        titles = [f"**{self._paragraph(child)}**" for child in node.children if isinstance(child, nodes.title)]
        rows = [[" ".join(self.children(entry)) for entry in row.children] for row in node.findall(nodes.row)]
        return [*titles, table(rows)]

    @staticmethod
    def _beside(head: str, blocks: list[str], gap: str) -> list[str]:
        """`head` and the first block in one, unless that is a list, a table or code."""
        if not blocks:
            return [head]
        if blocks[0][:1] in "-|`#" or blocks[0][:2] == "1.":
            return [head, *blocks]
        return [head + gap + blocks[0], *blocks[1:]]


def _joined(items: Iterable[str]) -> list[str]:
    """A list is one block if its items are lines; else each item is one."""
    kept = [text for text in items if text]
    return kept if any("\n\n" in text for text in kept) else ["\n".join(kept)]


def _lines(node: Any, depth: int = 0) -> list[str]:
    lines: list[str] = []
    for child in node.children:
        nested = isinstance(child, nodes.line_block)
        lines += _lines(child, depth + 1) if nested else [indented(child.astext(), "  " * min(depth, 6))]
    return lines
