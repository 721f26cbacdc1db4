"""LATEST as a value moved by compare-and-swap, and nothing guessed when a reply is lost.

Whoever moves LATEST (publish, adopt, forward copy, a person's `use`) reads it, decides, and swaps
with the token that it read. This module owns the swap: it reads back whenever the store did not
plainly say yes, and answers *won* or *lost*.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import msgspec
import xxhash

from ckptptr.clock import Clock, backoff, isoformat
from ckptptr.errors import (
    AccessDeniedError,
    ConflictError,
    DamagedError,
    NotFoundError,
    OutcomeUnknownError,
    StoreUnavailableError,
)
from ckptptr.protocol.fence import Fence
from ckptptr.protocol.names import latest_key
from ckptptr.protocol.pointer import Pointer
from ckptptr.stores.port import Store, Token

log = logging.getLogger("ckptptr")

TRIES = 6


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
    def fence(self) -> int:
        """The fence in force; a hand-edited, damaged or absent LATEST has none (-1)."""
        return self.pointer.fence if self.pointer and not self.pointer.edited else -1


@dataclass(frozen=True, slots=True)
class Swap:
    """How a swap ended: `won`, and what LATEST is now as far as this process saw."""

    won: bool
    seen: Seen


class Latest:
    """The LATEST of one node prefix.

    Args:
        author: who writes, for people: `pod-name/pid/incarnation`.
        fence: where this process stands; a bystander where it is not given.
    """

    def __init__(
        self, store: Store, prefix: str, clock: Clock, author: str, fence: Fence | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._author = author
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
            body, token = self._store.read(self.key)
        except NotFoundError:
            return Seen()
        try:
            pointer = Pointer.decode(body, self.url)
        except DamagedError as error:
            return Seen(body, token, None, str(error))
        self.fence.notice(pointer)
        return Seen(body, token, pointer)

    def swap(self, seen: Seen, pointer: Pointer, *, publishes: str = "") -> Swap:
        """Move LATEST from exactly what was `seen` to `pointer`.

        Args:
            publishes: the reference of a new checkpoint of ours. A machine-written LATEST that names
                it is as good as our own: that landed, and others have written after it, or somebody
                rebuilt LATEST from a listing. A person's edit proves nothing: it keeps what stood
                around it.

        Raises:
            OutcomeUnknownError: nobody can tell whether it landed.
            StoreUnavailableError: it has not landed within the retry budget.
        """
        pointer = msgspec.structs.replace(
            pointer, edited=False, published_by=self._author, write_id=self._clock.token(26)
        )
        body = pointer.encode()
        if seen.damage:
            self._keep_damaged(seen)
        for tried in range(1, TRIES + 1):
            try:
                token = self._write(body, seen.token)
            except AccessDeniedError:
                raise
            except (ConflictError, StoreUnavailableError) as problem:
                found = self._read_back(problem)
            else:
                self.fence.notice(pointer)
                return Swap(True, Seen(body, token, pointer))
            if found.body == body or _names(found, publishes):
                return Swap(True, found)
            if found.token != seen.token:
                return Swap(False, found)
            log.info("LATEST did not move yet (try %d of %d): %s", tried, TRIES, self.url)
            backoff(self._clock, tried)
        raise StoreUnavailableError(
            f"LATEST could not be moved in {TRIES} tries",
            key=self.url,
            hint="When it was last read it was unchanged",
        )

    def check_fence(self, attempt: int, pointer: Pointer | None, *, hint: str) -> None:
        """Refuse what a process below the fence wants to do here: see `Fence.check`."""
        self.fence.check(attempt, pointer, url=self.url, hint=hint)

    def kept_key(self, seen: Seen) -> str:
        """Where the bytes of a damaged LATEST are put aside by whoever overwrites it."""
        return f"{self.key}.damaged-{xxhash.xxh3_64_hexdigest(seen.body)}"

    def stamp(self) -> str:
        """Now, as LATEST writes it."""
        return isoformat(self._clock.now())

    def _write(self, body: bytes, token: Token | None) -> Token:
        if token is None:
            return self._store.create(self.key, body)
        return self._store.replace(self.key, body, token)

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
        """Put the bytes aside, under a name made of their digest, before they are overwritten."""
        key = self.kept_key(seen)
        try:
            self._store.create(key, seen.body)
        except ConflictError:
            return  # put aside before
        log.warning("%s; its bytes are kept as %s", seen.damage, self._store.url(key))


def _names(found: Seen, reference: str) -> bool:
    if not reference or found.pointer is None or found.pointer.edited:
        return False
    return found.pointer.find(reference) is not None
