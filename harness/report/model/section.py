"""A section of the report as blocks: what the templates know how to set, and nothing of how.

A block's `kind` is the macro in `templates/macros.html.j2` that sets it. Whatever can be said with
these needs no template: a new section is one function in `harness/report/sections/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from harness.report.model.blocks import Chart, Table
from harness.report.model.served import DiffLine

Only = Literal["", "screen", "print", "appendix", "short"]
"""The one format that has a block, empty for both; `appendix` is the screen and the full PDF,
`short` the screen and the PDF that is not full.
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text, bold or not."""

    text: str
    strong: bool = False
    bad: bool = False
    """Whether it is in red."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Text in spans, so that each format makes its own bold."""

    spans: tuple[Span, ...]

    def __str__(self) -> str:
        return "".join(span.text for span in self.spans)


def compose(*parts: str | Span) -> Sentence:
    """A sentence of plain and bold stretches."""
    return Sentence(tuple(p if isinstance(p, Span) else Span(p) for p in parts))


def bold(value: str, *, bad: bool = False) -> Span:
    """A bold stretch."""
    return Span(value, strong=True, bad=bad)


@dataclass(frozen=True, slots=True)
class Masthead:
    """What the report is of, at its top."""

    kind: ClassVar = "masthead"
    name: str
    title: str
    lead: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Headings with their lines: what page 1 decides."""

    kind: ClassVar = "verdict"
    entries: tuple[tuple[str, tuple[Sentence, ...]], ...]


@dataclass(frozen=True, slots=True)
class FactList:
    """Names with their values, side by side."""

    kind: ClassVar = "fact_list"
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading within the section."""

    kind: ClassVar = "heading"
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """One paragraph: plain, of a column's width, in small print, or what must be read first."""

    kind: ClassVar = "text"
    text: str
    style: Literal["", "prose", "note", "banner"] = ""
    only: Only = ""


@dataclass(frozen=True, slots=True)
class Prose:
    """Paragraphs that belong together; of an `answer` the first stands out."""

    kind: ClassVar = "prose"
    sentences: tuple[Sentence, ...]
    style: Literal["prose", "answer"] = "prose"


@dataclass(frozen=True, slots=True)
class Charts:
    """Charts side by side, with their notes under them."""

    kind: ClassVar = "charts_of"
    charts: tuple[Chart, ...]
    beside: Table | None = None
    """A table that stands beside them where there is room."""
    only: Only = ""


@dataclass(frozen=True, slots=True)
class TableBlock:
    """A table with a title."""

    kind: ClassVar = "table_of"
    table: Table
    title: str = ""
    style: Literal["", "small", "text", "pairs"] = ""
    """Small print; columns of words; two columns, a name and its value."""
    only: Only = ""
    folded: bool = False
    """Whether it stands behind its title until that is clicked."""
    anchors: tuple[str, ...] = ()
    """Of a table that can be sorted and filtered: each row's own."""
    notes_first: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    """A file as it is: behind `summary` on the screen, under `title` in print."""

    kind: ClassVar = "code"
    text: str
    title: str
    summary: str
    short_lines: bool = False
    """Whether print sets it in columns."""
    only: Only = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two files."""

    kind: ClassVar = "difference"
    title: str
    lines: tuple[DiffLine, ...]


Block = (
    Masthead | Verdict | FactList | Heading | Text | Prose | Charts | TableBlock | Code | Difference
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a section with its own anchor."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    name: str = ""
    """What the contents call it; empty where they do not list it."""
    color: str = ""
    """Of the swatch before the title."""
    folded: bool = False
    """Behind its title on the screen, where its charts are drawn when it opens; not in print."""
    appendix: bool = False
    """Of a folded one, whether the full PDF has it."""
    printed: bool = False
    """Likewise, whether this PDF does."""
    back: str = ""
    """Anchor of the row that it tells more of; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its anchor, its title, what it says."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    parts: tuple[Part, ...] = ()
    screen_only: bool = False
    appendix: bool = False
    """Whether only the screen and the full PDF have it."""

    @property
    def titled(self) -> bool:
        """Whether its title stands over it; one that begins with a masthead has that instead."""
        return not any(isinstance(block, Masthead) for block in self.blocks)

    def printed_parts(self) -> list[Part]:
        """Those that are not folded away, and what a full PDF has besides."""
        return [part for part in self.parts if not part.folded or part.printed]

    def charts(self) -> list[Chart]:
        """Those that are drawn at once: not what is folded."""
        shown = (block for part in self.parts if not part.folded for block in part.blocks)
        return charts_of([*self.blocks, *shown])

    def printed_charts(self) -> list[Chart]:
        """Those that print draws."""
        shown = (block for part in self.printed_parts() for block in part.blocks)
        return charts_of(b for b in (*self.blocks, *shown) if getattr(b, "only", "") != "screen")

    def settled(self, *, full: bool) -> Section:
        """With what is an appendix in print or not."""

        def settle(block: Block) -> Block:
            if not isinstance(block, Text | Charts | TableBlock | Code):
                return block
            if block.only not in ("appendix", "short"):
                return block
            return replace(block, only="" if full == (block.only == "appendix") else "screen")

        parts = (replace(p, blocks=tuple(map(settle, p.blocks)), printed=p.appendix and full)
                 for p in self.parts)  # fmt: skip
        return replace(
            self, blocks=tuple(map(settle, self.blocks)), parts=tuple(parts),
            screen_only=self.screen_only or (self.appendix and not full),
        )  # fmt: skip

    def folded_charts(self) -> list[Chart]:
        """Those of the folded parts."""
        return charts_of(b for part in self.parts if part.folded for b in part.blocks)


def charts_of(blocks: Iterable[Block]) -> list[Chart]:
    """Every chart of some blocks, in order."""
    return [chart for block in blocks if isinstance(block, Charts) for chart in block.charts]


def titled(
    *tables: tuple[str, Table],
    style: Literal["", "text", "pairs"] = "",
    only: Only = "",
    folded: bool = False,
) -> list[TableBlock]:
    """The tables that have rows, under their titles."""
    return [
        TableBlock(found, title, style, only, folded=folded)
        for title, found in tables if found
    ]  # fmt: skip
