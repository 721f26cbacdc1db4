"""How the commands print: for eyes on a terminal, in whole lines into a pipe.

On a terminal sentences wrap. A table that is too wide first leaves out columns that may go, then continues
its rows on further lines. In a pipe nothing wraps, and every column is there. Ids, names and paths are never
left out or cut. Control characters are written out, see `wording.printable`, and so are characters that the
encoding of a stream does not have.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any, TextIO

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ckptptr.errors import LocalDiskError
from ckptptr.inspect.sentences import Tone
from ckptptr.wording import printable

INDENT = "  "

TONES: dict[Tone, str] = {"good": "green", "warning": "yellow", "bad": "red", "quiet": "dim", "": ""}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, for a terminal that is too narrow for all of them.

    `may_go`: it is left out first, since another column or command says the same. `tail`: it goes to a
    further line.
    """

    heading: str
    right: bool = False
    tail: bool = False
    may_go: bool = False


_LONG = 10_000
"""Characters of a line from which on it has no style: rich takes minutes for a mebibyte."""


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

    def print(self, *objects: Any, **options: Any) -> None:
        with _writing():
            super().print(*objects, **options)


class OutputError(LocalDiskError):
    """stdout cannot be written: its disk is full, say. What the command was asked for may be done."""


@contextmanager
def _writing() -> Iterator[None]:
    """Tells an error of stdout from any other."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"the output cannot be written ({error.strerror or error})",
            hint="A change may be done all the same: see `ckptptr show`",
        ) from error


def echo(text: str | bytes, *, nl: bool = True) -> None:
    """Print to stdout as it is."""
    with _writing():
        click.echo(text, nl=nl)


def escape_what_streams_cannot_say() -> None:
    """What the encoding of stdout or stderr does not have is written as JSON escapes it."""
    codecs.register_error(_ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)


_ESCAPED = "ckptptr-escaped"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4)), error.end


def discard(stream: TextIO) -> None:
    """Give up on a stream. Python flushes it again when it exits, which would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_terminal() -> bool:
    """Whether stdout is one; it is None where the process was started with it closed."""
    return sys.stdout is not None and sys.stdout.isatty()


class Output:
    """Prints to stdout."""

    def __init__(self) -> None:
        self._console = _Console(highlight=False, markup=False, emoji=False)
        self._wraps = is_terminal()

    def blank(self) -> None:
        self._console.print()

    def headline(self, text: str, style: str = "bold") -> None:
        self.sentence(text, style)

    def sentence(self, text: str, style: str = "") -> None:
        """Text that wraps on a terminal."""
        self._console.print(Text(printable(text), style), soft_wrap=not self._wraps)

    def marked(self, mark: Cell, text: str, *, indent: str, style: str = "") -> None:
        """A sentence after a mark that fits in `indent`; on a terminal its other lines are indented."""
        words = Text(printable(text), style)
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
        if len(text) > _LONG:
            echo(text.plain)
        else:
            self._console.print(text, soft_wrap=True)

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Names and values, below each other."""
        width = max((len(name) for name, _ in facts), default=0)
        for name, value in facts:
            self.line(INDENT, Cell(name.ljust(width), "dim"), INDENT, value)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Aligned columns without lines. A column without any text is left out."""
        used = [place for place in range(len(columns)) if any(row[place] for row in rows)]
        lines = [[Cell(column.heading, "dim") for column in columns], *rows]
        widths = [max(cell_len(printable(line[place])) for line in lines) for place in range(len(columns))]
        folded = _folded(used, columns, widths, self._width)
        for line in lines:
            for number, places in enumerate(folded):
                cells = [_padded(line[place], widths[place], columns[place]) for place in places]
                is_obvious = line is lines[0] and number > 0 and len(cells) == 1
                if number == 0 or (any(cell.strip() for cell in cells) and not is_obvious):
                    self.line(*([_FURTHER] if number else ()), *_spaced(cells))

    @property
    def _width(self) -> float:
        return self._console.width if self._wraps else inf


_FURTHER = INDENT * 3
"""Before the further lines of a row."""


def _folded(
    used: Sequence[int], columns: Sequence[Column], widths: Sequence[int], width: float
) -> list[list[int]]:
    """The places of the columns in each line of a row."""

    def needed(places: Sequence[int]) -> int:
        return sum(len(INDENT) + widths[place] for place in places)

    places = [*used]
    for place in reversed(used):
        if needed(places) > width and columns[place].may_go:
            places.remove(place)
    if needed(places) <= width:
        return [places]
    heads, tails = ([p for p in places if columns[p].tail is is_tail] for is_tail in (False, True))
    lines: list[list[int]] = [[]]
    for group in (heads, tails):
        if lines[-1]:
            lines.append([])
        for place in group:
            indent = 0 if len(lines) == 1 else len(_FURTHER)
            if lines[-1] and indent + needed([*lines[-1], place]) > width:
                lines.append([])
            lines[-1].append(place)
    return [line for line in lines if line]


def _padded(cell: str, width: int, column: Column) -> Cell:
    style = getattr(cell, "style", "")
    text = printable(cell)
    space = " " * (width - cell_len(text))
    return Cell(f"{space}{text}" if column.right else f"{text}{space}", style)


def _spaced(cells: Sequence[Cell]) -> list[str]:
    return [part for cell in cells for part in (INDENT, cell)]
