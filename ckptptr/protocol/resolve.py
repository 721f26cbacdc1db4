"""Resolve: which checkpoint a restore returns, and why that one.

The first good candidate wins. Whatever is rejected is rejected with a reason, and LATEST is read
again after each rejection and before a fresh start is declared: if it changed, all begins again.
Absence is proven by the store, never assumed: a failure to answer passes through as
`StoreUnavailableError`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ckptptr.errors import (
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    OtherWorkError,
)
from ckptptr.events import Event, emit
from ckptptr.protocol.candidates import Candidate, Candidates, Found, Verdict
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.wording import printable

ROUNDS = 8

Accept: TypeAlias = Callable[[Found], None]
"""Makes sure of a candidate (downloads and verifies it, say); raises DamagedError or NotFoundError."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate that was not taken.

    `is_absent`: proven not to be there, or an object of its payload is: `missing` says which.
    `is_other_work`: another node's. `is_invalid`: it may not be named.
    """

    reference: str
    reason: str
    is_absent: bool = False
    missing: str = ""
    is_other_work: bool = False
    is_invalid: bool = False

    @property
    def may_be_meant_by_another(self) -> bool:
        """Whether it was only LATEST that should not name it: it may be just what an origin means, which an
        attempt adopted that died before it had its own copy."""
        return self.is_other_work or self.is_invalid


@dataclass(frozen=True, slots=True)
class Resolution:
    """The outcome of a restore: what was taken, from where, and what was not and why.

    `seen` is LATEST as it was when this was decided; an adopt swaps with its token.
    """

    verdict: Verdict
    found: Found | None
    rejected: tuple[Rejected, ...]
    seen: Seen

    @property
    def follows_latest(self) -> bool:
        """Whether this is simply what an unheld LATEST says, so that nothing needs adopting. It may name
        what is an origin's, which is then still to be copied."""
        pointer = self.seen.pointer
        if self.found is None:
            return pointer is None or (not pointer.held and pointer.target.is_fresh)
        if self.found.origin:
            return False
        return pointer is not None and not pointer.held and pointer.target.checkpoint == self.found.reference

    def __str__(self) -> str:
        """One readable line."""
        told = [r for r in self.rejected if r.reason != self.seen.damage]  # it has a warning of its own
        empty = [r.reference for r in told if r.is_absent and not r.missing]
        refused = [f"{r.reference} was not taken: {r.reason}" for r in told if r.missing or not r.is_absent]
        nothing = [f"nothing in {', '.join(empty)}"] if empty else []
        return printable("; ".join([self._taken(), *refused, *nothing]))

    def _taken(self) -> str:
        if self.found is None:
            chosen = self.seen.pointer is not None and self.seen.pointer.target.is_fresh
            return "a fresh start: " + ("LATEST asks for it" if chosen else "there is no checkpoint")
        manifest = self.found.manifest
        origin = self.found.origin
        if manifest is None:
            return f"resuming from {self.found.reference}, {self.verdict.value}{origin and f', in {origin}'}"
        step = "" if manifest.step is None else f"step {manifest.step}, "
        held = ", where a person chose it" if self.seen.is_held and self.verdict is Verdict.POINTER else ""
        return f"resuming from {step}checkpoint {manifest.id}, found in {origin or self.verdict.value}{held}"


@dataclass(slots=True)
class Resolver:
    """Resolves for one node. What it found damaged is immutable: no later round fetches it again."""

    candidates: Candidates
    latest: Latest
    _damaged: dict[str, Rejected] = field(default_factory=dict)
    _told: str = ""

    def resolve(self, accept: Accept, seen: Seen | None = None) -> Resolution:
        """The first good candidate, in order.

        Args:
            seen: LATEST as it was just read; read where it is not given.

        Raises:
            StoreUnavailableError: something could neither be read nor proven absent.
            UnsupportedFormatError: LATEST or a manifest was written by a newer version.
            ConflictError: LATEST changed in each of the rounds.
        """
        for _ in range(ROUNDS):
            resolution = self._round(seen or self.latest.read(), accept)
            if resolution is not None:
                return resolution
            what = f"LATEST changed while it was resolved: {self.latest.url}"
            emit(Event("conflict", what, error=ConflictError.code))
            seen = None
        raise ConflictError(f"LATEST changed {ROUNDS} times while it was resolved", key=self.latest.url)

    def _round(self, seen: Seen, accept: Accept) -> Resolution | None:
        """One pass over the candidates; None where LATEST changed meanwhile."""
        rejected: dict[str, Rejected] = {}
        if seen.damage:
            if seen.damage != self._told:
                self._told = seen.damage
                _refuse(seen.damage, DamagedError.code)
            rejected[self.latest.url] = Rejected(self.latest.url, seen.damage)
        if seen.pointer is not None and seen.pointer.target.is_fresh:
            return Resolution(Verdict.FRESH, None, (), seen)
        for candidate in self.candidates.after(seen):
            before = rejected.get(candidate.reference)
            if before and not before.may_be_meant_by_another:
                continue
            if candidate.reference in self._damaged:
                rejected[candidate.reference] = self._damaged[candidate.reference]
                continue
            attempt = self._try(candidate, accept)
            if isinstance(attempt, Found):
                rejected.pop(candidate.reference, None)
                return Resolution(candidate.verdict_on(attempt), attempt, tuple(rejected.values()), seen)
            rejected[candidate.reference] = attempt
            if attempt.is_absent and candidate.verdict is Verdict.POINTER:
                message = f"not restoring {candidate.reference}, which LATEST names: {attempt.reason}"
                _refuse(message, NotFoundError.code, candidate.reference)
            if self._has_moved(seen):
                return None
        if self._has_moved(seen):
            return None
        return Resolution(Verdict.FRESH, None, tuple(rejected.values()), seen)

    def _try(self, candidate: Candidate, accept: Accept) -> Found | Rejected:
        found = None
        try:
            found = candidate.load()
            accept(found)
        except (NotFoundError, DamagedError, InvalidArgumentError, OtherWorkError) as error:
            rejected = _rejected(candidate, error, is_payload=found is not None)
            if isinstance(error, DamagedError):
                self._damaged[candidate.reference] = rejected
            return rejected
        return found

    def _has_moved(self, seen: Seen) -> bool:
        return self.latest.read().token != seen.token


def _refuse(message: str, code: str, checkpoint: str | None = None) -> None:
    emit(Event("refusal", message, level=logging.WARNING, checkpoint=checkpoint, error=code))


def _rejected(candidate: Candidate, error: CkptptrError, *, is_payload: bool) -> Rejected:
    missing = error.key if is_payload and isinstance(error, NotFoundError) else ""
    if not isinstance(error, NotFoundError):
        _refuse(f"not restoring {candidate.reference}: {error}", error.code, candidate.reference)
    return Rejected(
        candidate.reference,
        f"a file of it is gone, {missing}" if missing else error.message,
        missing=missing,
        is_absent=isinstance(error, NotFoundError),
        is_other_work=isinstance(error, OtherWorkError),
        is_invalid=isinstance(error, InvalidArgumentError),
    )
