"""Which checkpoint a person means: by id, path, URI, line of `ckptptr log`, step or attempt."""

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
from ckptptr.protocol.listed import Listed
from ckptptr.protocol.resolve import Resolver

_STEP = click.option("--step", type=int, metavar="N", help="The newest checkpoint of that step.")
_OF_ATTEMPT = click.option(
    "--of-attempt", type=click.IntRange(min=0), metavar="N", help="The newest checkpoint that attempt N made."
)


@dataclass(frozen=True, slots=True)
class Choice:
    """How a person chose a checkpoint on the command line; all None where they did not."""

    checkpoint: str | None = None
    step: int | None = None
    of_attempt: int | None = None

    @property
    def is_made(self) -> bool:
        return any(way is not None for way in (self.checkpoint, self.step, self.of_attempt))

    def on(self, here: Here) -> str:
        """The reference of the chosen checkpoint.

        Raises:
            click.UsageError: none was chosen, or one in several ways.
            InvalidArgumentError, NotFoundError: the choice is ambiguous, or no checkpoint matches it.
        """
        ways = [way for way in (self.checkpoint, self.step, self.of_attempt) if way is not None]
        if len(ways) != 1:
            raise click.UsageError(
                "Give either CHECKPOINT, --step or --of-attempt. Put a line of the log in quotes: '#3'."
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
                "a number alone could be a step or a line of the log",
                key=name,
                hint=f"Say --step {name}, or '#{name}'",
            )
        return name

    def found(self, here: Here) -> Found:
        """The chosen checkpoint; without a choice the one that the next attempt would restore.

        Raises:
            NotFoundError, DamagedError, InvalidArgumentError: there is no such checkpoint, or it is damaged.
        """
        if self.is_made:
            return here.chooser.find(self.on(here))
        found = Resolver(here.candidates, here.latest).resolve(Listed(here.store)).found
        if found is None:
            raise NotFoundError(
                "the next attempt would restore nothing: there is no good checkpoint", key=here.url
            )
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
    """Add a hint to an error about the chosen checkpoint: where to find others."""
    try:
        yield
    except (NotFoundError, DamagedError) as error:
        hint = error.hint or f"To see what can be chosen: {here.command('log')}"
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
        hint=f"There are the {word}s {others}" if others else f"No checkpoint here has a {word}",
    )


def _on_line(here: Here, index: int) -> str:
    entries = everything(here).checkpoints
    if not 1 <= index <= len(entries):
        raise NotFoundError(
            f"`ckptptr log` has {len(entries)} lines, so there is no line {index}", key=here.url
        )
    return entries[index - 1].checkpoint
