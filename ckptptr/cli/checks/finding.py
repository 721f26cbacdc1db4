"""A finding, and how an error of a check becomes one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

from ckptptr.errors import AccessDeniedError, CkptptrError, StoreUnavailableError
from ckptptr.inspect import shapes
from ckptptr.inspect.explain import explain
from ckptptr.inspect.log import everything
from ckptptr.inspect.target import Here
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.listed import Listed


def ok(check: str, what: str, at: str | None = None) -> shapes.Finding:
    return shapes.Finding(level="ok", check=check, what=what, object=at)


def note(
    check: str, what: str, at: str | None = None, type: str | None = None, todo: shapes.Todo = "nothing"
) -> shapes.Finding:
    return shapes.Finding(level="note", check=check, what=what, object=at, type=type, todo=todo)


def problem(
    check: str, what: str, at: str | None = None, type: str | None = None, todo: shapes.Todo = "act"
) -> shapes.Finding:
    return shapes.Finding(level="problem", check=check, what=what, object=at, type=type, todo=todo)


class Examined:
    """One node. Each part is read once, however many checks use it."""

    def __init__(self, here: Here) -> None:
        self.here = here

    @cached_property
    def seen(self) -> Seen:
        return self.here.latest.read()

    @cached_property
    def listed(self) -> Listed:
        return Listed(self.here.store)

    @cached_property
    def shown(self) -> shapes.Show:
        return explain(self.here, self.listed)

    @cached_property
    def sweep(self) -> str | None:
        """The command that looks what a sweep would delete; None where it would be refused."""
        is_refused = self.seen.pointer is None or self.seen.is_held
        return None if is_refused else self.here.command("sweep", "--dry-run")

    @cached_property
    def log(self) -> shapes.Log:
        return everything(self.here)

    def is_complete(self, entry: shapes.Entry) -> bool:
        """Whether all files of a checkpoint with a good manifest are there."""
        try:
            return not self.listed.flaws(self.here.chooser.find(entry.checkpoint, self.seen))
        except StoreUnavailableError:
            raise
        except CkptptrError:
            return False  # deleted or damaged since it was listed


Check = Callable[[Examined], Iterable[shapes.Finding]]


def findings_of(checks: Iterable[Check], examined: Examined) -> Iterator[shapes.Finding]:
    """What the checks find. An error that stops several of them is reported once."""
    told = set()
    for check in checks:
        try:
            found = [*check(examined)]
        except CkptptrError as error:
            found = [of_error(error)]
        for finding in found:
            if finding not in told:
                told.add(finding)
                yield finding


def of_error(error: CkptptrError) -> shapes.Finding:
    """The finding for an error that stopped a check."""
    what = error.message
    if isinstance(error, AccessDeniedError):
        what = f"{error.message}, so what is there cannot be checked"
    elif isinstance(error, StoreUnavailableError):
        what = f"{error.message}; this says nothing about what is there"
    sentence = f"{what}. {error.hint}" if error.hint else f"{what}."
    return problem(error.code, sentence[0].upper() + sentence[1:], error.key or None)
