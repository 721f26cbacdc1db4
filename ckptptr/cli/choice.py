"""Which checkpoint a person means: an id, a path, a URI, a line of `ckptptr log`, a step, an attempt."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from ckptptr.errors import DamagedError, InvalidArgumentError, NotFoundError
from ckptptr.inspect import shapes
from ckptptr.inspect.log import everything, restorable
from ckptptr.inspect.target import Here
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.resolve import Resolver

_STEP = click.option("--step", type=int, metavar="N", help="The newest checkpoint of that step.")
_OF_ATTEMPT = click.option(
    "--of-attempt", type=click.IntRange(min=0), metavar="N", help="The newest checkpoint that attempt N made."
)


@dataclass(frozen=True, slots=True)
class Choice:
    """How a checkpoint was chosen on the command line, if it was."""

    checkpoint: str | None = None
    step: int | None = None
    of_attempt: int | None = None

    @property
    def is_made(self) -> bool:
        return any(way is not None for way in (self.checkpoint, self.step, self.of_attempt))

    def on(self, here: Here) -> str:
        """The reference that is meant.

        Raises:
            click.UsageError: none was chosen, or in several ways.
            InvalidArgumentError, NotFoundError: it cannot be told which.
        """
        ways = [way for way in (self.checkpoint, self.step, self.of_attempt) if way is not None]
        if len(ways) != 1:
            raise click.UsageError(
                "Give either CHECKPOINT, --step or --of-attempt. A line of the log is put in quotes: '#3'."
            )
        if self.step is not None:
            return _newest(here, "step", self.step)
        if self.of_attempt is not None:
            return _newest(here, "attempt", self.of_attempt)
        name = (self.checkpoint or "").strip()
        if name.startswith("#") and name[1:].isdecimal():
            return _on_line(here, int(name[1:]))
        if name.isdecimal():
            raise InvalidArgumentError(
                "a bare number could be a step or a line", key=name, hint=f"Say --step {name}, or '#{name}'"
            )
        return name

    def found(self, here: Here) -> Found:
        """The checkpoint that is meant; without a choice what the next attempt would restore.

        Raises:
            NotFoundError, DamagedError, InvalidArgumentError: there is none such.
        """
        if self.is_made:
            return here.chooser.find(self.on(here))
        found = Resolver(here.candidates, here.latest).resolve(lambda _: None).found
        if found is None:
            raise NotFoundError("there is no checkpoint that the next attempt would restore", key=here.url)
        return found


def places(function: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments [CHECKPOINT] DEST; the function gets them as `checkpoint` and `destination`."""

    @functools.wraps(function)
    def run(places: tuple[str, ...], **rest: Any) -> Any:
        if len(places) > 2:
            raise click.UsageError("Give one CHECKPOINT and one DEST.")
        checkpoint = places[0] if len(places) == 2 else None
        return function(checkpoint=checkpoint, destination=places[-1], **rest)

    return click.argument("places", nargs=-1, required=True, metavar="[CHECKPOINT] DEST")(run)


def choosing(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--step` and `--of-attempt`; the function gets them and its argument CHECKPOINT as one `choice`."""

    @functools.wraps(function)
    def run(checkpoint: str | None, step: int | None, of_attempt: int | None, **rest: Any) -> Any:
        return function(choice=Choice(checkpoint, step, of_attempt), **rest)

    return _STEP(_OF_ATTEMPT(run))


@contextmanager
def saying_what_can_be_chosen(here: Here) -> Iterator[None]:
    """A checkpoint that is not there, or is no good, is not the end: others are."""
    try:
        yield
    except (NotFoundError, DamagedError) as error:
        hint = error.hint or f"What can be chosen: {here.command('log')}"
        raise type(error)(error.message, key=error.key, hint=hint) from error


def _newest(here: Here, word: str, number: int) -> str:
    def value(entry: shapes.Entry) -> int | None:
        return entry.step if word == "step" else entry.attempt

    entries = [*restorable(everything(here))]
    for entry in entries:
        if value(entry) == number:
            return entry.checkpoint
    others = ", ".join(dict.fromkeys(str(value(entry)) for entry in entries if value(entry) is not None))
    raise NotFoundError(
        f"no checkpoint of {word} {number} can be chosen",
        key=here.url,
        hint=f"There are the {word}s {others}" if others else f"None of the checkpoints here says its {word}",
    )


def _on_line(here: Here, index: int) -> str:
    entries = everything(here).checkpoints
    if not 1 <= index <= len(entries):
        raise NotFoundError(f"`ckptptr log` has {len(entries)} lines, not a line {index}", key=here.url)
    return entries[index - 1].checkpoint
