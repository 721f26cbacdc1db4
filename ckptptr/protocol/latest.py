"""LATEST: a value moved by compare-and-swap.

Publish, adopt, the forward copy, a sweep and a person's `use` each move LATEST by `Latest.update`: it
reads LATEST, asks for a decision, swaps with the token that it read, and asks again where another
process was faster. Below it is `Latest.swap`: one move. It reads LATEST back whenever the store did not
plainly accept the write, and answers *won* or *lost*; nothing is guessed when a reply is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
import xxhash

from ckptptr.clock import Clock, backoff, isoformat
from ckptptr.errors import (
    AccessDeniedError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    StoreUnavailableError,
)
from ckptptr.events import Event, Name, emit
from ckptptr.protocol.fence import Fence
from ckptptr.protocol.names import LATEST, latest_key
from ckptptr.protocol.pointer import LIMIT, Pointer
from ckptptr.protocol.sealed import FORMAT, is_newer_minor
from ckptptr.stores.port import Store, Token

log = logging.getLogger("ckptptr")

MOVES = 10
"""How many moves one update tries: others moved LATEST first each time before."""
WRITES = 6
"""How often one move is written while LATEST stays what it was: so an update sends at most
`MOVES * WRITES` = 60 writes, with `clock.backoff` between any two of them."""
PREDECESSORS = 100
"""How many incarnations LATEST lists: an attempt hardly restarts in place more often."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one read of LATEST found: absent (no token), damaged (no pointer), or a pointer."""

    body: bytes = b""
    token: Token | None = None
    pointer: Pointer | None = None
    damage: str = ""

    @property
    def is_held(self) -> bool:
        return self.pointer is not None and self.pointer.held

    @property
    def may_be_unpublished(self) -> bool:
        """Whether its target can be a checkpoint that no save has published: the run that committed it beside
        a hold may be deleting it."""
        pointer = self.pointer
        return pointer is None or pointer.held or pointer.moved_with in ("restore", "release")

    @property
    def fence(self) -> int:
        """The fence in force; a hand-edited, damaged or absent LATEST has none (-1)."""
        return self.pointer.fence if self.pointer and not self.pointer.edited else -1

    @property
    def expired(self) -> tuple[str, ...]:
        """What LATEST lists as expired."""
        return self.pointer.expired if self.pointer else ()

    def is_proof_of(self, reference: str) -> bool:
        """Whether a machine wrote this, and names that checkpoint as target or in the history. A person's
        edit proves nothing: it keeps what stood around it."""
        pointer = self.pointer
        return pointer is not None and not pointer.edited and pointer.find(reference) is not None


@dataclass(frozen=True, slots=True)
class Swap:
    """How a swap ended: `won`, and what LATEST is now as far as this process saw."""

    won: bool
    seen: Seen


@dataclass(frozen=True, slots=True)
class Move:
    """A decision to move LATEST to `pointer`.

    Args:
        by: what moves it, in a word for people: `save`, `restore`, `use`.
        publishes: see `Latest.swap`. A won move that publishes is decided upon once more: others may have
            written after it.
        seen: what it was decided on, if LATEST was read again meanwhile.
    """

    pointer: Pointer
    by: str = ""
    publishes: str = ""
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class LookAgain:
    """A decision to decide on LATEST as it is now: no swap would tell that it was moved meanwhile."""


@dataclass(frozen=True, slots=True)
class Updated(Generic[_T]):
    """How an update ended.

    `outcome` is the decision that ended it, and None where a move did. `before` is what the last decision
    was made on, `seen` is LATEST after it.
    """

    outcome: _T | None
    before: Seen
    seen: Seen


class Latest:
    """The LATEST of one node prefix.

    Args:
        author: who writes, for people: `pod-name/pid/<random>`.
        fence: where this process stands; a bystander where it is not given.
    """

    def __init__(
        self, store: Store, prefix: str, clock: Clock, author: str, fence: Fence | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self.author = author
        self.fence = fence or Fence()
        self.key = latest_key(prefix)
        self.url = store.url(self.key)

    def read(self) -> Seen:
        """One GET.

        Raises:
            UnsupportedFormatError: a newer version wrote it.
            StoreUnavailableError: absence was not proven.
        """
        try:
            body, token = self._store.read(self.key, LIMIT + 1)
        except NotFoundError:
            return Seen()
        except DamagedError as error:  # a link on a disk, and nothing that it leads to is read
            return Seen(damage=str(error))
        try:
            pointer = Pointer.decode(body, self.url)
        except DamagedError as error:
            return Seen(body, token, None, str(error))
        self.fence.notice(pointer)
        return Seen(body, token, pointer)

    def update(
        self, decide: Callable[[Seen], Move | LookAgain | _T], seen: Seen | None = None
    ) -> Updated[_T]:
        """Move LATEST as `decide` says, and ask it again where others moved LATEST first.

        Args:
            decide: given LATEST as it is, a `Move`, or anything else to end here and leave LATEST alone.
                After `LookAgain` it is given the same object where LATEST is unchanged.
            seen: LATEST as last seen; read where it is not given.

        Raises:
            ConflictError: others moved LATEST first, `MOVES` times.
            OutcomeUnknownError, StoreUnavailableError: as `swap`; and whatever `decide` raises.
        """
        before = self.read() if seen is None else seen
        for tried in range(MOVES + 1):
            decision = decide(before)
            if not isinstance(decision, Move | LookAgain):
                return Updated(decision, before, before)
            if tried == MOVES:
                break
            if isinstance(decision, LookAgain):
                now = self.read()
                before = before if now.token == before.token else now
                continue
            if tried:
                backoff(self._clock, tried)
            before = decision.seen or before
            swap = self.swap(before, decision.pointer, by=decision.by, publishes=decision.publishes)
            if swap.won and not decision.publishes:
                return Updated(None, before, swap.seen)
            if not swap.won:
                what = f"LATEST was moved by others first, move {tried + 1} of {MOVES}"
                self._tell("conflict", what, ConflictError.code)
            before = swap.seen
        raise ConflictError(f"LATEST was moved by others each of the {MOVES} times we tried", key=self.url)

    def swap(self, seen: Seen, pointer: Pointer, *, by: str = "", publishes: str = "") -> Swap:
        """Move LATEST from exactly what was `seen` to `pointer`.

        Args:
            by: what moves it, for people.
            publishes: the reference of a new checkpoint of ours. A LATEST that proves it (see
                `Seen.is_proof_of`) means that our write landed and others wrote after it, or that
                another process rebuilt LATEST from a listing: won.

        Raises:
            OutcomeUnknownError: it is unknown whether the write landed.
            StoreUnavailableError: it has not landed in `WRITES` tries.
            InvalidArgumentError: it would be too large to be read again; nothing was written.
        """
        pointer = self._signed(seen.pointer, pointer, by)
        body = pointer.encode()
        if len(body) > LIMIT:
            raise InvalidArgumentError(
                f"LATEST would have more than {LIMIT >> 20} MiB",
                key=self.url,
                hint="Unpin checkpoints that are not needed any more, or write a shorter note",
            )
        if seen.damage and seen.token is not None:
            self._keep_damaged(seen)
        for tried in range(1, WRITES + 1):
            try:
                token = self._write(body, seen.token)
            except AccessDeniedError:
                raise
            except (ConflictError, StoreUnavailableError) as problem:
                found, code = self._read_back(problem), problem.code
            else:
                self.fence.notice(pointer)
                return Swap(True, Seen(body, token, pointer))
            if found.body == body or (publishes and found.is_proof_of(publishes)):
                return Swap(True, found)
            if found.token != seen.token:
                return Swap(False, found)
            self._tell("retry", f"LATEST did not move yet, try {tried} of {WRITES}", code)
            backoff(self._clock, tried)
        raise StoreUnavailableError(
            f"LATEST could not be moved in {WRITES} tries",
            key=self.url,
            hint="When it was last read it was unchanged",
        )

    def check_fence(self, attempt: int, pointer: Pointer | None, *, hint: str) -> None:
        """Refuse what a process below the fence wants to do here: see `Fence.check`."""
        self.fence.check(attempt, pointer, url=self.url, hint=hint)

    def kept_key(self, seen: Seen) -> str:
        """Where the bytes of a damaged LATEST are kept before it is overwritten."""
        return f"{self.key}.damaged-{xxhash.xxh3_64_hexdigest(seen.body)}"

    def stamp(self) -> str:
        """Now, as LATEST writes it."""
        return isoformat(self._clock.now())

    def _signed(self, before: Pointer | None, pointer: Pointer, by: str) -> Pointer:
        """With who wrote it, and which incarnations had the node before; who moved it, which a pin or a sweep
        does not change; and all that a newer minor version said."""
        pointer = msgspec.structs.replace(
            pointer,
            edited=False,
            predecessors=_predecessors(before, pointer),
            published_by=self.author,
            write_id=self._clock.token(26),
            format=before.format if before and is_newer_minor(before.format) else FORMAT,
            unknown=before.unknown if before else {},
        )
        if before is not None and not before.edited and _says_the_same(before, pointer):
            moved = before.moved_at, before.moved_by, before.moved_with
        else:
            moved = self.stamp(), self.author, by
        return msgspec.structs.replace(pointer, moved_at=moved[0], moved_by=moved[1], moved_with=moved[2])

    def _write(self, body: bytes, token: Token | None) -> Token:
        if token is None:
            return self._store.create(self.key, body)
        return self._store.replace(self.key, body, token)

    def _tell(self, name: Name, what: str, code: str) -> None:
        node = self.url.removesuffix(f"/{LATEST}")
        emit(Event(name, f"{what}: {self.url}", node=node, error=code))

    def _read_back(self, problem: Exception) -> Seen:
        try:
            return self.read()
        except StoreUnavailableError as error:
            raise OutcomeUnknownError(
                f"the write was not answered ({problem}) and could not be read back ({error.message})",
                key=self.url,
                hint="Read LATEST before going on: it may name the new checkpoint",
            ) from problem

    def _keep_damaged(self, seen: Seen) -> None:
        """Put the bytes aside, under a name made of their digest, before they are overwritten.

        Of more than `LIMIT`, which no person and no version of this wrote, just the beginning.
        """
        key = self.kept_key(seen)
        try:
            self._store.create(key, seen.body)
        except ConflictError:
            return  # put aside before
        log.warning("the bytes of the damaged LATEST are kept as %s", self._store.url(key))


def _predecessors(before: Pointer | None, pointer: Pointer) -> tuple[str, ...]:
    """The incarnations of the attempt that had the node before that of `pointer`, the last one first."""
    if before is None or before.edited or before.fence != pointer.fence:
        return ()
    had = (before.incarnation, *before.predecessors)
    return tuple(dict.fromkeys(token for token in had if token not in ("", pointer.incarnation)))[
        :PREDECESSORS
    ]


def _says_the_same(one: Pointer, other: Pointer) -> bool:
    is_same_target = one.target.checkpoint == other.target.checkpoint
    return is_same_target and (one.held, one.note) == (other.held, other.note)
