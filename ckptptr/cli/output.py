"""How the commands print: for eyes on a terminal, in whole lines into a pipe.

On a terminal sentences wrap, and rows that are too wide continue on a second line. In a pipe nothing
wraps. Ids and paths are never cut. Control characters are written out, see `wording.printable`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ckptptr.inspect.sentences import Tone
from ckptptr.wording import printable

INDENT = "  "

TONES: dict[Tone, str] = {"good": "green", "warning": "yellow", "bad": "red", "quiet": "dim", "": ""}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `tail`: it goes to a second line on a narrow terminal."""

    heading: str
    right: bool = False
    tail: bool = False


class Cell(str):
    """Text with a style."""

    __slots__ = ("style",)
    style: str

    def __new__(cls, text: str, style: str = "") -> Cell:
        cell = super().__new__(cls, printable(text))
        cell.style = style
        return cell


class _Console(Console):
    """rich ends the program if the reader of a pipe closed it; here it is an error with an exit code."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Output:
    """Prints to stdout."""

    def __init__(self) -> None:
        self._console = _Console(highlight=False, markup=False, emoji=False)
        self._wraps = sys.stdout.isatty()

    def blank(self) -> None:
        self._console.print()

    def headline(self, text: str, style: str = "bold") -> None:
        self.sentence(text, style)

    def sentence(self, text: str, style: str = "") -> None:
        """Text that wraps on a terminal."""
        self._console.print(Text(printable(text), style), soft_wrap=not self._wraps)

    def marked(self, mark: Cell, text: str, *, indent: str) -> None:
        """A sentence after a mark that fits in `indent`; on a terminal its other lines are indented."""
        words = Text(printable(text))
        lines = [words]
        if self._wraps:
            width = max(20, self._console.width - len(indent))
            lines = [*words.wrap(self._console, width)]
        for place, line in enumerate(lines):
            start = Text(mark.ljust(len(indent)), mark.style) if place == 0 else Text(indent)
            self._console.print(start + line, soft_wrap=True)

    def line(self, *cells: str) -> None:
        """One line, never wrapped, so that a person can copy it."""
        text = Text()
        for cell in cells:
            text.append(printable(cell), getattr(cell, "style", ""))
        text.rstrip()
        self._console.print(text, soft_wrap=True)

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Names and values, below each other."""
        width = max((len(name) for name, _ in facts), default=0)
        for name, value in facts:
            self.line(INDENT, Cell(name.ljust(width), "dim"), INDENT, value)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Aligned columns without lines. A column without any text is left out."""
        used = [place for place in range(len(columns)) if any(row[place] for row in rows)]
        columns = [columns[place] for place in used]
        body = [[row[place] for place in used] for row in rows]
        lines: list[list[str]] = [[Cell(column.heading, "dim") for column in columns], *body]
        widths = [max(cell_len(line[place]) for line in lines) for place in range(len(columns))]
        total = sum(widths) + len(INDENT) * len(widths)
        folds = self._wraps and total > self._console.width
        for line in lines:
            first: list[Cell] = []
            second: list[Cell] = []
            for cell, width, column in zip(line, widths, columns, strict=True):
                (second if folds and column.tail else first).append(_padded(cell, width, column))
            self.line(*_spaced(first))
            is_obvious = line is lines[0] and len(second) == 1
            if any(cell.strip() for cell in second) and not is_obvious:
                self.line(INDENT * 3, *_spaced(second))


def _padded(cell: str, width: int, column: Column) -> Cell:
    style = getattr(cell, "style", "")
    text = printable(cell)
    space = " " * (width - cell_len(text))
    return Cell(f"{space}{text}" if column.right else f"{text}{space}", style)


def _spaced(cells: Sequence[Cell]) -> list[str]:
    return [part for cell in cells for part in (INDENT, cell)]
